"""Training hooks of an encoder: the stages it trains in, and what it decides on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from frugalmtl.core.budget import TimeOf
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Share, Stage
from frugalmtl.core.types import Batch, Scores


@dataclass(frozen=True)
class StageView:
    """Data, scores and cost that an encoder may ask for when a stage ends; all of the model as it then stands, in eval
    mode.

    Attributes:
        batches: name of a stream -> all its samples once, in stored order, not augmented, on the model's device.
        scores: name of a stream -> the model's scores on its samples.
        gain: ``gain(scores, reference)``: mean over the tasks of the relative change of their primary score, positive
            where ``scores`` are better.
        macs: multiply-adds per image of the model as it would be deployed now.
        latency: milliseconds per image of the model as it would be deployed now, or with decisions; see
            :class:`~frugalmtl.core.budget.Clock`.
    """

    batches: Callable[[str], Iterable[Batch]]
    scores: Callable[[str], Scores]
    gain: Callable[[Scores, Scores], float]
    macs: Callable[[], float]
    latency: TimeOf


class TrainingHooks:
    """A method's training as the engine sees it: data that it runs by, and moments that it tells the method of.

    A method that trains all its parameters in one go needs none of this.

    Attributes:
        needs_structure: whether it trains a shape that another run has decided on (``init_from`` with ``take:
            [structure]``): a training that takes none is refused.
        decisions: shell patterns over the names of its buffers that hold what it decided about its shape, and by which
            draws: a run that takes the weights of another one alone does not take these.
        choices: shell patterns over the names of its parameters in which it decides what runs: a moving average of the
            weights (``train.ema``) has them as they are, so that it runs what was decided.
    """

    needs_structure: bool = False
    decisions: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    def recipe(self) -> tuple[Stage, ...]:
        """The stages this method trains in."""
        return (Stage(),)

    def check_stage(self, stage: str, epochs: int) -> None:
        """Called before a training begins, for every stage of the recipe with its length in epochs.

        Raises:
            UserError: the stage is too short for what the method does in it.
        """

    def enter_stage(self, stage: str) -> None:
        """Called by the engine before the first step of a stage (also when a run is resumed inside it)."""

    def streams(self) -> Mapping[str, Share]:
        """Streams that the turns of this method read, or that it looks at when a stage ends, beside the whole training
        split: ``{name: part of it}``."""
        return {}

    def enter_turn(self, turn: str, cycle: int) -> None:
        """Called by the engine before the first step of each turn (also when a run is resumed inside it).

        Args:
            turn: its name.
            cycle: how often all turns of the stage have been through (0-based).
        """

    def end_stage(self, stage: str, view: StageView) -> None:
        """Called by the engine after the last step of a stage, on all processes: what follows from what was learned
        (thresholds, groupings, policies) is decided here. It must follow from the model and ``view`` alone.
        """

    def structure(self) -> dict[str, Any] | None:
        """What the method decided about its own shape, as plain values; saved beside the weights. None if nothing."""
        return None

    def restructure(self, structure: Mapping[str, Any]) -> None:
        """Take the shape that :meth:`structure` told; called before weights are loaded.

        Raises:
            UserError: it does not fit this encoder.
        """
        raise UserError(f"this encoder has no structure that could be set, but got one with {', '.join(structure)}")

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """Called by the engine before each epoch of a stage (0-based, of that stage)."""

    def enter_step(self, share: float) -> None:
        """Called by the engine before each optimiser step with the share of the stage that is done, in [0, 1)."""
