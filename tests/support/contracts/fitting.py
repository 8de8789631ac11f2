"""Encoders that contract tests run, and the backbones that these take by their own facts."""

from __future__ import annotations

from functools import cache
from typing import Any

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.families import FAMILIES
from frugalmtl.core.seeding import seed_everything
from frugalmtl.encoders import ENCODERS, views_of
from tests.support.backbones import family_of, tiny_backbone

TOY_ROUTER = "toy_router"
"""An encoder that chooses for each image; a member by the fixture ``toy_members``."""

ENCODER_NAMES = (*ENCODERS.names(), TOY_ROUTER)

_PREFERRED = dict.fromkeys(("resnet", "vision_transformer", *FAMILIES.names()))
"""Families, small models first."""


@cache
def backbone_of(family: str) -> Backbone:
    """The tiny backbone of a family; encoders copy it."""
    seed_everything(0)
    return tiny_backbone(family)


@cache
def refusals_of(family: str) -> dict[str, str | None]:
    """Views that the family's tiny backbone does not offer, with the reason; None for those that it offers."""
    return views_of(backbone_of(family))


def lacking(encoder: str, family: str) -> str:
    """Why the family does not fit the encoder, by the views that this one needs; empty if it fits."""
    reasons = (refusals_of(family)[view] for view in ENCODERS.fact(encoder, "views"))
    return "; ".join(reason for reason in reasons if reason is not None)


def fitting_family(encoder: str) -> str:
    """The first family that fits an encoder."""
    for family in _PREFERRED:
        if not lacking(encoder, family):
            return family
    raise AssertionError(f"no family of backbones offers what {encoder} needs: {ENCODERS.fact(encoder, 'views')}")


def tiny_section(family: str) -> dict[str, Any]:
    """The config section of the family's tiny backbone."""
    kind, section = family_of(family), {"name": "timm", "model": family_of(family).tiny}
    if kind.tiny_arguments and "sizes" not in kind.options:
        raise AssertionError(f"no config makes {kind.tiny} as small as tests have it: choose another family")
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in kind.tiny_arguments.items()}
    return section | ({"sizes": plain} if plain else {})
