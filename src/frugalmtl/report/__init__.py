"""Report of a comparison: tables, trade-off curves, pictures and one self-contained page."""

from frugalmtl.report.costs import Cost, Latency, RowCost, StepCost
from frugalmtl.report.image_pictures import ImagePictures
from frugalmtl.report.maps.panels import Shown, make_panels
from frugalmtl.report.results import (
    Cell,
    Epoch,
    Panel,
    Protocol,
    PublishedRow,
    Results,
    Row,
    SeedResult,
    TaskInfo,
    Word,
    load_results,
    save_results,
    summarise_seeds,
)
from frugalmtl.report.table import print_table
from frugalmtl.report.write import write_figures, write_report

__all__ = [
    "Cell",
    "Cost",
    "Epoch",
    "ImagePictures",
    "Latency",
    "Panel",
    "Protocol",
    "PublishedRow",
    "Results",
    "Row",
    "RowCost",
    "SeedResult",
    "Shown",
    "StepCost",
    "TaskInfo",
    "Word",
    "load_results",
    "make_panels",
    "print_table",
    "save_results",
    "summarise_seeds",
    "write_figures",
    "write_report",
]
