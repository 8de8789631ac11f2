"""Backbones: image -> a chain of stages of blocks, with channels and strides."""

from frugalmtl.backbones.base import Backbone, BlockInfo, State, state_of, tensors_of
from frugalmtl.core.registry import Registry

BACKBONES = Registry("frugalmtl.backbones", "backbone", apart=("families", "views"))

__all__ = ["BACKBONES", "Backbone", "BlockInfo", "State", "state_of", "tensors_of"]
