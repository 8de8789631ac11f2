"""Measured cost of a module: operations that run, bytes that are stored and held, time on this machine.

Nothing here is computed from a model's description; everything is counted or measured while the module runs.
"""

from frugalmtl.evaluation.cost.conventions import CONVENTION, CONVENTIONS, in_convention
from frugalmtl.evaluation.cost.counting import CostDistribution, Counts, count, distribution, storage
from frugalmtl.evaluation.cost.latency import LatencyStats, fitting_rounds, latency
from frugalmtl.evaluation.cost.memory import peak_memory

__all__ = [
    "CONVENTION",
    "CONVENTIONS",
    "CostDistribution",
    "Counts",
    "LatencyStats",
    "count",
    "distribution",
    "fitting_rounds",
    "in_convention",
    "latency",
    "peak_memory",
    "storage",
]
