"""Counting of the multiply-adds that run, on the meta device where shapes alone decide."""

from frugalmtl.core.counting.counter import MacCounter, on_meta
from frugalmtl.core.counting.modes import device_of, dtype_of, evaluating, is_data_dependent
from frugalmtl.core.counting.tally import MacTally

__all__ = ["MacCounter", "MacTally", "device_of", "dtype_of", "evaluating", "is_data_dependent", "on_meta"]
