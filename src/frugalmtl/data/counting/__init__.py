"""Counts of labels and images, for checks of data, class weights, and what a training begins with."""

from frugalmtl.data.counting.examination import Examined, examined
from frugalmtl.data.counting.labels import LabelCounts, label_counts
from frugalmtl.data.counting.splits import SplitCounts

__all__ = ["Examined", "LabelCounts", "SplitCounts", "examined", "label_counts"]
