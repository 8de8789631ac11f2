"""Small AdaShare encoders and models, and ways to bring them to a moment of their training."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import deploy
from frugalmtl.encoders import ENCODERS, StageView
from frugalmtl.encoders.adashare.encoder import AdaShare
from frugalmtl.evaluation.cost import count
from frugalmtl.model import MultiTaskModel
from tests.support.gated import toy_tasks
from tests.support.views.residual import residual_backbone

CIFAR = "cifar-B"
NAMES = ("near", "far", "edge", "word")
SIDE = (32, 32)


def sharing(kind: str = CIFAR, tasks: int = 3, *, seed: int = 0, **settings: Any) -> AdaShare:
    """An encoder with normalisation statistics that are nowhere ones and zeros."""
    seed_everything(seed)
    encoder: AdaShare = ENCODERS.build({"name": "adashare", **settings}, residual_backbone(kind), NAMES[:tasks])
    return encoder


def set_odds(encoder: AdaShare, seed: int, size: float = 2.0) -> None:
    """Logits as after some search, different in every task."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for task in encoder.task_names:
            encoder.policy.logits[task].normal_(0.0, size, generator=generator)


def searching(encoder: AdaShare, turn: str = "policy", cycle: int = 0) -> AdaShare:
    """In training mode in a turn of the search; logits take gradients in their own turn alone."""
    encoder.enter_stage("search")
    encoder.enter_turn(turn, cycle)
    encoder.train()
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(name.startswith("policy.") == (turn == "policy"))
    return encoder


def decided(encoder: AdaShare, rows: list[list[int]], stage: str = "retrain") -> AdaShare:
    """In eval mode with this policy."""
    encoder.enter_stage(stage)
    encoder.choice.decide(np.array(rows, dtype=bool))
    return encoder.eval()


def refused(*_: object) -> Any:
    raise AssertionError("nothing is asked of the view")


NO_VIEW = StageView(refused, refused, refused, refused, refused)
"""A view that is not looked at."""


def toy_model(kind: str = CIFAR, *, head: str = "linear", **settings: Any) -> MultiTaskModel:
    """A small model of two tasks."""
    seed_everything(derive_seed(7, "weights"))
    tasks = toy_tasks()
    encoder = ENCODERS.build({"name": "adashare", **settings}, residual_backbone(kind), [task.name for task in tasks])
    decoder = DECODERS.build({"name": "independent", "head": head}, encoder.channels, encoder.strides, tasks)
    return MultiTaskModel(encoder, decoder, tasks)


def deployed(encoder: AdaShare) -> nn.Module:
    """The deployed form of a copy."""
    return deepcopy(encoder).eval().deploy().eval()


def measured(model: MultiTaskModel, size: tuple[int, int] = SIDE) -> int:
    """Multiply-adds of the deployed model."""
    return count(deploy(model, example=torch.randn(1, 3, *size)), size).macs
