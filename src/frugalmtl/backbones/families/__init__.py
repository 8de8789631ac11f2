"""Families of timm models, one a file: how a model becomes a chain of stages."""

from frugalmtl.backbones.families.base import Chain, Family
from frugalmtl.core.registry import Registry

FAMILIES = Registry("frugalmtl.backbones.families", "family of timm models")

__all__ = ["FAMILIES", "Chain", "Family"]
