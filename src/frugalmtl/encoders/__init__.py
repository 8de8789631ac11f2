"""Encoders: sharing between tasks while the image is encoded, one method a file."""

from frugalmtl.core.registry import Registry
from frugalmtl.encoders._deciding import DecidingEncoder, DecidingModule
from frugalmtl.encoders._training import StageView, TrainingHooks
from frugalmtl.encoders._views import BACKBONE_VIEWS, views_of
from frugalmtl.encoders.base import Encoder

ENCODERS = Registry("frugalmtl.encoders", "encoder")

__all__ = [
    "BACKBONE_VIEWS",
    "ENCODERS",
    "DecidingEncoder",
    "DecidingModule",
    "Encoder",
    "StageView",
    "TrainingHooks",
    "views_of",
]
