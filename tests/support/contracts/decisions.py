"""Decisions at which the forms of an encoder are compared, and what they give."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from frugalmtl.core.types import Decisions, Features
from frugalmtl.encoders import DecidingEncoder, DecidingModule, Encoder


def compared_decisions(module: nn.Module, image: Tensor) -> list[Decisions | None]:
    """A deployed encoder's choice on images, all on, all off and random; None alone for one that does not choose."""
    if not isinstance(module, DecidingModule):
        return [None]
    everything = module.everything(image)
    generator = torch.Generator().manual_seed(1)
    drawn = {name: torch.rand(value.shape, generator=generator) < 0.5 for name, value in everything.items()}
    nothing = {name: torch.zeros_like(value) for name, value in everything.items()}
    return [module.decide(image), everything, nothing, drawn]


def features_at(
    encoder: Encoder, image: Tensor, decisions: Decisions | None, tasks: Collection[str] | None = None
) -> Features:
    """Features of the wanted tasks at these decisions."""
    if decisions is None:
        return encoder.branch(encoder.encode(image, tasks), tasks)
    assert isinstance(encoder, DecidingEncoder)
    return encoder.branch(encoder.encode(image, tasks, decisions), tasks)


def unread_parameters(module: nn.Module, outputs: list[Tensor], choosing: nn.Module, image: Tensor) -> list[str]:
    """Parameters that neither the outputs depend on nor, of a module that chooses, its margins.

    Args:
        module: whose parameters.
        outputs: of the module; of one that chooses, where everything runs.
        choosing: the module, or what of it chooses.
        image: the images.
    """
    read = [output.square().mean() for output in outputs]
    if isinstance(choosing, DecidingModule):
        read += [margin.sum() for margin in choosing.margins(image, choosing.everything(image)).values()]
    module.zero_grad(set_to_none=True)
    torch.stack(read).sum().backward()
    unread = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    module.zero_grad(set_to_none=True)
    return unread
