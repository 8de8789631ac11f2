"""Tiny backbones of every family."""

from __future__ import annotations

from functools import partial

import pytest
from timm import create_model

from frugalmtl.backbones.families import FAMILIES, Family
from frugalmtl.backbones.timm import Timm


def family_of(name: str) -> type[Family]:
    """The class of a family."""
    family = FAMILIES.get(name)
    assert isinstance(family, type)
    assert issubclass(family, Family)
    return family


def tiny_backbone(name: str, **options: object) -> Timm:
    """The family's small model, smaller still where the family says so."""
    family = family_of(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("frugalmtl.backbones.timm.create_model", partial(create_model, **family.tiny_arguments))
        return Timm(model=family.tiny, **options)  # type: ignore[arg-type]
