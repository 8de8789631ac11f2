"""Runs a recipe: stages, steps, checkpoints, exact resuming. Knows contracts, never names of methods or tasks."""

from frugalmtl.engine.checkpoint import load_weights
from frugalmtl.engine.launch import make_fabric
from frugalmtl.engine.loader import EpochLoader
from frugalmtl.engine.optimizers import OPTIMIZERS
from frugalmtl.engine.run import TrainResult
from frugalmtl.engine.schedules import SCHEDULES
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.trainer import train

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "EpochLoader",
    "TrainResult",
    "TrainSettings",
    "load_weights",
    "make_fabric",
    "train",
]
