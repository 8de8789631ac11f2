"""Logs of a run: records in a file, means over an epoch, and the progress that a person sees."""

from frugalmtl.engine.logs.display import ProgressDisplay
from frugalmtl.engine.logs.means import Means, count_report, step_record
from frugalmtl.engine.logs.run_log import RunLog

__all__ = ["Means", "ProgressDisplay", "RunLog", "count_report", "step_record"]
