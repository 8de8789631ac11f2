"""Training by a recipe: stages, steps, checkpoints, exact resuming. Knows contracts, no method's or task's name."""

from frugalmtl.engine.checkpoints import load_weights
from frugalmtl.engine.job import TrainJob
from frugalmtl.engine.launch import make_fabric
from frugalmtl.engine.loop import TrainLoop, TrainResult, train
from frugalmtl.engine.optimizers import OPTIMIZERS
from frugalmtl.engine.schedules import SCHEDULES
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.stages.measures import Measures
from frugalmtl.engine.stages.streams import EpochLoader

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "EpochLoader",
    "Measures",
    "TrainJob",
    "TrainLoop",
    "TrainResult",
    "TrainSettings",
    "load_weights",
    "make_fabric",
    "train",
]
