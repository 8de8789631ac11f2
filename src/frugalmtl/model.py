"""Multi-task model: an encoder and a decoder, composed here alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.core.types import Decisions, Predictions, Pyramid
from frugalmtl.decoders import Decoder
from frugalmtl.encoders import DecidingEncoder, Encoder
from frugalmtl.encoders.base import wanted_of
from frugalmtl.tasks import Task

Cut = Callable[[list[Tensor]], list[Tensor]]
"""Applied to the shared representation on its way from the trunk to the tasks."""


class MultiTaskModel(nn.Module):
    """Encoder + decoder: image -> raw predictions of every task.

    Args:
        encoder: who shares what.
        decoder: what the tasks tell each other.
        tasks: what is predicted; names in the encoder's order.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.tasks = tuple(tasks)

    def forward(
        self,
        image: Tensor,
        cut: Cut | None = None,
        tasks: Collection[str] | None = None,
        decisions: Decisions | None = None,
    ) -> Predictions:
        """Image ``[B, 3, H, W]`` -> predictions (dense ones ``[B, C, H, W]``).

        Args:
            image: normalised image.
            cut: a balancer's hook at the shared representation; the identity if not given.
            tasks: names of those that are wanted, if not all are: predictions of the others are not returned. Where the
                decoder lets tasks be left out, their heads, and what of the encoder only they need, are not run.
            decisions: what an encoder that chooses for each image runs, in eval mode; None for its own choice.

        Raises:
            UserError: decisions for an encoder that takes none.
        """
        read = self.encoded_tasks(tasks)
        shared = _encode(self.encoder, image, read, decisions)
        if cut is not None:
            shared = cut(shared)
        features = self.encoder.branch(shared, read)
        height, width = image.shape[-2:]
        nothing = Predictions({})
        predictions: Predictions = self.decoder(features.by_task, (height, width)) if features.by_task else nothing
        if tasks is not None:
            predictions = _only(predictions, tasks)
        predictions.penalties.update(features.penalties)
        predictions.statistics.update(features.statistics)
        return predictions

    def encoded_tasks(self, tasks: Collection[str] | None) -> tuple[str, ...] | None:
        """The tasks that the encoder runs for where predictions of ``tasks`` are wanted; None for all.

        A decoder that penalises is always run.
        """
        names = self.encoder.task_names
        wanted = wanted_of(names, tasks)
        runs_whole = not self.decoder.separable if wanted else bool(self.decoder.penalties())
        return None if len(wanted) == len(names) or runs_whole else wanted

    def begin_predictions(self) -> None:
        """Let the last layers of tasks that say so (:attr:`Task.begin`) begin with that bias, where they have one."""
        for task in self.tasks:
            if task.begin is None:
                continue
            for layers in self.decoder.last_layers(task.name):
                for layer in layers:
                    if isinstance(bias := getattr(layer, "bias", None), nn.Parameter):
                        nn.init.constant_(bias, task.begin / len(layers))

    def recipe(self) -> tuple[Stage, ...]:
        """The stages this model trains in: the encoder's, with what the decoder adds to each of them.

        Raises:
            ValueError: encoder and decoder have a penalty of one name.
        """
        groups, penalties = self.decoder.groups(), self.decoder.penalties()
        return tuple(_with(stage, groups, penalties) for stage in self.encoder.recipe())

    def enter_stage(self, stage: str) -> None:
        """Tell both halves that a stage begins."""
        self.encoder.enter_stage(stage)
        self.decoder.enter_stage(stage)

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """Tell the encoder that an epoch of the current stage begins."""
        self.encoder.enter_epoch(epoch, epochs)

    def enter_turn(self, turn: str, cycle: int) -> None:
        """Tell the encoder that a turn of the current stage begins."""
        self.encoder.enter_turn(turn, cycle)

    def enter_step(self, share: float) -> None:
        """Tell the encoder how much of the current stage is done."""
        self.encoder.enter_step(share)

    def read_levels(self, tasks: Collection[str] | None = None) -> dict[str, tuple[int, ...]]:
        """``{task: levels of its pyramid that final predictions depend on}``, found by a pass through the decoder.

        Args:
            tasks: those whose final predictions are wanted; None for all. A task whose features none of these depends
                on has no levels.
        """
        decoder = copy.deepcopy(self.decoder).eval().requires_grad_(False)
        weight = next(self.parameters())
        side = max(self.encoder.strides) * 2
        features: dict[str, Pyramid] = {
            task: [
                torch.randn(1, channels, side // stride, side // stride, dtype=weight.dtype, generator=generator)
                .to(weight.device)
                .requires_grad_()
                for channels, stride in zip(self.encoder.channels, self.encoder.strides, strict=True)
            ]
            for task, generator in ((name, torch.Generator().manual_seed(0)) for name in self.encoder.task_names)
        }
        with torch.enable_grad():
            final = decoder(features, (side, side)).by_task
            torch.autograd.backward([final[name].sum() for name in wanted_of(list(final), tasks)])
        return {
            task: tuple(index for index, level in enumerate(pyramid) if level.grad is not None)
            for task, pyramid in features.items()
        }


def _with(stage: Stage, groups: tuple[ParameterGroup, ...], penalties: Mapping[str, float]) -> Stage:
    """A stage with parameter groups and penalties of a decoder, which hold in its turns too."""

    def joined(others: Mapping[str, float]) -> dict[str, float]:
        if common := sorted(others.keys() & penalties.keys()):
            raise ValueError(f"stage {stage.name!r}: encoder and decoder both have a penalty called {common[0]!r}")
        return {**others, **penalties}

    turns = tuple(
        turn if turn.penalties is None else replace(turn, penalties=joined(turn.penalties)) for turn in stage.turns
    )
    return replace(stage, groups=(*stage.groups, *groups), penalties=joined(stage.penalties), turns=turns)


def _encode(
    encoder: Encoder, image: Tensor, tasks: Collection[str] | None, decisions: Decisions | None
) -> list[Tensor]:
    if decisions is None:
        return encoder.encode(image, tasks)
    if not isinstance(encoder, DecidingEncoder):
        raise UserError(f"{type(encoder).__name__} runs the same for every image, but got decisions: leave them out")
    return encoder.encode(image, tasks, decisions)


def _only(predictions: Predictions, tasks: Collection[str]) -> Predictions:
    """The predictions of some tasks."""

    def chosen(by_task: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: raw for name, raw in by_task.items() if name in tasks}

    auxiliary = {name: replace(item, by_task=chosen(item.by_task)) for name, item in predictions.auxiliary.items()}
    return replace(predictions, by_task=chosen(predictions.by_task), auxiliary=auxiliary)
