"""Labels of points in a figure."""

from frugalmtl.report.drawing.labels.beside_points import Point, label_points

__all__ = ["Point", "label_points"]
