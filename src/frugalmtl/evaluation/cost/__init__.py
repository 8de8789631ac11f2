"""Measured cost of a module: operations that run, bytes that are stored and held, time on this machine.

Nothing here is computed from a model's description; everything is counted or measured while the module runs.
"""

from frugalmtl.evaluation.cost.conventions import CONVENTION, CONVENTIONS, in_convention
from frugalmtl.evaluation.cost.counting import CostDistribution, Counts, count, distribution, storage
from frugalmtl.evaluation.cost.latency import Batches, LatencyStats, fitting_rounds, latency, timed_rounds
from frugalmtl.evaluation.cost.memory import peak_memory
from frugalmtl.evaluation.cost.noise import decides, noise_images
from frugalmtl.evaluation.cost.per_image import CostPerImage, batches_of, cost_per_image

__all__ = [
    "CONVENTION",
    "CONVENTIONS",
    "Batches",
    "CostDistribution",
    "CostPerImage",
    "Counts",
    "LatencyStats",
    "batches_of",
    "cost_per_image",
    "count",
    "decides",
    "distribution",
    "fitting_rounds",
    "in_convention",
    "latency",
    "noise_images",
    "peak_memory",
    "storage",
    "timed_rounds",
]
