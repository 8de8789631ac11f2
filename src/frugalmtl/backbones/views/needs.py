"""Views that a backbone offers, and the refusal of one that does not."""

from __future__ import annotations

from frugalmtl.backbones.base import Backbone
from frugalmtl.backbones.views.lookup import residual_blocks
from frugalmtl.backbones.views.tokens import tokens_of
from frugalmtl.core.checks import UserError


def require_residual(backbone: Backbone) -> None:
    """Check that the shortcut of every block is known, and that one block at least can be skipped.

    Raises:
        UserError: it is not, or none can.
    """
    if not any(view is not None for view in residual_blocks(backbone).values()):
        raise UserError("no block of this backbone has a shortcut, so that none can be skipped: choose another")


def require_tokens(backbone: Backbone) -> None:
    """Check that one block at least has a view of attention and MLP on tokens.

    Raises:
        UserError: none has.
    """
    if all(tokens_of(backbone.get_submodule(info.name)) is None for info in backbone.blocks):
        raise UserError(
            "no block of this backbone is known as attention and MLP on tokens: choose a Swin or Vision Transformer"
        )


def require_stages(backbone: Backbone) -> None:
    """Check that every stage gives one map, and has a block whose output is as fine in front of its last one.

    Raises:
        UserError: a stage has not.
    """
    for stage in range(len(backbone.stages)):
        infos = [info for info in backbone.blocks if info.stage == stage]
        if any(len(info.channels) > 1 for info in infos[-2:]):
            raise UserError(
                f"stage {stage + 1} of this backbone gives maps of several resolutions: choose one whose stages give "
                "one map each (ResNet, Swin, ViT)"
            )
        if len(infos) < 2 or infos[-2].strides != infos[-1].strides:
            raise UserError(
                f"stage {stage + 1} of this backbone has no block in front of its last one at the same resolution: "
                "choose one with two blocks or more in each stage (ResNet, Swin, ViT)"
            )
