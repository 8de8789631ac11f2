"""Encoders that choose for each image what they run, in training and deployed."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Collection
from typing import Self, TypeVar

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError, known
from frugalmtl.core.types import Decisions, Picture, Pyramid
from frugalmtl.encoders.base import Encoder

Module = TypeVar("Module", bound=nn.Module)


class DecidingEncoder(Encoder):
    """An encoder that chooses by the values of each image which of its parts run.

    A decision is a value: a bool tensor ``[B, ...]``, one entry per image. In eval mode nothing is drawn, and the
    decisions on an image do not depend on the others of its batch. What does not run has False, also where it is not
    asked for (tokens of a block that is off).

    :meth:`deploy` gives a :class:`DecidingModule`.
    """

    decides = True

    @abstractmethod
    def encode(
        self, image: Tensor, tasks: Collection[str] | None = None, decisions: Decisions | None = None
    ) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the tensors of the cut.

        Args:
            image: normalised image.
            tasks: names of the wanted tasks; None for all.
            decisions: what runs, in eval mode; None for the encoder's own choice.
        """

    @abstractmethod
    def margins(
        self, image: Tensor, decisions: Decisions | None = None, tasks: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """How clearly the encoder chooses, in eval mode: float ``[B, ...]`` by name, above 0 where it lets run.

        Args:
            image: normalised image ``[B, 3, H, W]``.
            decisions: what is run in front of each choice; None for the encoder's own choices.
            tasks: names of the wanted tasks; None for all.
        """

    def decide(self, image: Tensor, tasks: Collection[str] | None = None) -> Decisions:
        """Image ``[B, 3, H, W]`` -> what the encoder lets run, in eval mode."""
        return chosen(self.margins(image, tasks=tasks))

    def image_pictures(
        self,
        images: Tensor,  # noqa: ARG002 (of any)
        decisions: Decisions | None = None,  # noqa: ARG002 (any)
    ) -> list[Picture]:
        """Pictures for the report of what runs on some images, in eval mode.

        Args:
            images: normalised images of the split that is reported, ``[K, 3, H, W]``; pictures name them by their
                numbers, from 0.
            decisions: what runs of each, as the deployed model chose at an operating point; None for the encoder's own
                choice.
        """
        return []


class DecidingModule(nn.Module):
    """Deployed form of a :class:`DecidingEncoder`: ``(image, decisions) -> {task: pyramid}``.

    What is not chosen is not computed, at any batch size; images of a batch do not see each other. Under all decisions
    a layer is followed by the same normalisation, so that ``deploy()`` may fold what it sees where everything runs.

    Every parameter is read where everything runs (:meth:`everything`), either by the outputs or by :meth:`margins`:
    those of policy nets and thresholds reach the outputs through decisions alone, which pass no gradient.

    Attributes:
        data_dependent: tells ``deploy()`` that one pass does not show what the module needs.
        points: names of its operating points (``"0.7x"``), each a mean cost that it has been calibrated to. That
            holds for all tasks of the training; a module of some alone costs less.
    """

    data_dependent = True
    points: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``; ``decisions`` as in :meth:`DecidingEncoder.encode`."""

    @abstractmethod
    def margins(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Tensor]:
        """See :meth:`DecidingEncoder.margins`."""

    def decide(self, image: Tensor) -> Decisions:
        """Image ``[B, 3, H, W]`` -> what the module lets run."""
        return chosen(self.margins(image))

    def everything(self, image: Tensor) -> Decisions:
        """Decisions under which all runs that can be chosen."""
        return {name: torch.ones_like(value, dtype=torch.bool) for name, value in self.margins(image).items()}

    def at(self, point: str) -> Self:
        """The module at one of its operating points: one of its own, with the same tensors.

        Raises:
            UserError: no such point.
        """
        require_point(point, self.points)
        module = with_same_tensors(self)
        module.settle(point)
        return module

    def settle(self, point: str) -> None:
        """Choose as calibrated for a point; in place. A module that was settled has no points."""
        raise NotImplementedError


def chosen(margins: dict[str, Tensor]) -> Decisions:
    """The decisions that follow from margins."""
    return {name: value > 0 for name, value in margins.items()}


def with_same_tensors(module: Module) -> Module:
    """A copy of a module that holds the same parameters and buffers."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())})


def require_point(point: str, points: Collection[str]) -> str:
    """Check that an operating point is there.

    Raises:
        UserError: it is not, or there is none at all.
    """
    if not points:
        raise UserError(
            f"there is no operating point {point!r}: this model has been calibrated for none; train it with a list of "
            "points, or leave the budget out"
        )
    return known("operating point", point, points)
