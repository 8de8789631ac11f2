"""Timetable of a training: the turn that every step belongs to, and the batches that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage, Turn


@dataclass(frozen=True)
class Moment:
    """One optimiser step of a stage.

    Attributes:
        turn: that it belongs to; a stage without turns is one turn of its name, again and again.
        cycle: how often all turns of the stage have been through before (0-based).
        turn_step: steps of this turn before it.
        stream: name of the stream that is read.
        stream_step: steps of the whole run before it that have read that stream.
    """

    turn: Turn
    cycle: int
    turn_step: int
    stream: str
    stream_step: int


class Timetable:
    """The steps of a whole run, each a pure function of its place: nothing of it needs to be saved.

    Args:
        stages: every stage with its length in epochs.
        steps_per_epoch: optimiser steps of an epoch.
        stream_steps: optimiser steps of one pass over each stream.

    Raises:
        UserError: a turn reads a stream that is not there, or the same batches as a turn of another length.
    """

    def __init__(
        self, stages: Sequence[tuple[Stage, int]], steps_per_epoch: int, stream_steps: Mapping[str, int]
    ) -> None:
        self.lengths = [epochs * steps_per_epoch for _, epochs in stages]
        self.turns = [_timed(stage, stream_steps) for stage, _ in stages]

    def at(self, stage: int, step: int) -> Moment:
        """The moment of a step of a stage (both 0-based)."""
        timed = self.turns[stage]
        cycle, place = divmod(step, sum(entry.steps for entry in timed))
        number = 0
        while place >= timed[number].steps:
            place -= timed[number].steps
            number += 1
        entry = timed[number]
        # The same batches are those that the turn before has read at the same place.
        source = number
        while timed[source].turn.same_batch:
            source -= 1
        before = step - sum(other.steps for other in timed[source:number])
        reads = sum(self._reads(index, entry.stream, self.lengths[index]) for index in range(stage))
        return Moment(entry.turn, cycle, place, entry.stream, reads + self._reads(stage, entry.stream, before))

    def _reads(self, stage: int, stream: str, steps: int) -> int:
        """Number of the first ``steps`` of a stage that read a stream anew."""
        timed = self.turns[stage]
        cycles, rest = divmod(steps, sum(entry.steps for entry in timed))
        count = 0
        for entry in timed:
            if entry.stream == stream and not entry.turn.same_batch:
                count += cycles * entry.steps + min(max(rest, 0), entry.steps)
            rest -= entry.steps
        return count


@dataclass(frozen=True)
class _Timed:
    """A turn with its length in steps and the stream that it reads."""

    turn: Turn
    steps: int
    stream: str


def turns_of(stage: Stage) -> tuple[Turn, ...]:
    """The turns of a stage; one of its name where it has none."""
    return stage.turns or (Turn(stage.name, stream=stage.stream),)


def streams_of(stage: Stage) -> list[tuple[Turn, str]]:
    """The turns of a stage, each with the stream that its batches come from, also where it reads them again.

    Raises:
        UserError: the first turn reads again what none has read.
    """
    pairs: list[tuple[Turn, str]] = []
    for turn in turns_of(stage):
        if turn.same_batch and not pairs:
            raise UserError(f"stage {stage.name!r}: its first turn {turn.name!r} has no turn before it to read again")
        pairs.append((turn, pairs[-1][1] if turn.same_batch else turn.stream))
    return pairs


def _timed(stage: Stage, stream_steps: Mapping[str, int]) -> list[_Timed]:
    result: list[_Timed] = []
    for turn, stream in streams_of(stage):
        if stream not in stream_steps:
            raise UserError(
                f"stage {stage.name!r} reads the stream {stream!r}, but there are {', '.join(sorted(stream_steps))}"
            )
        steps = turn.steps or max(1, round(turn.epochs * stream_steps[stream]))
        if turn.same_batch and steps != result[-1].steps:
            raise UserError(
                f"stage {stage.name!r}: the turn {turn.name!r} of {steps} steps reads again what "
                f"{result[-1].turn.name!r} read, which has {result[-1].steps}: make them equally long"
            )
        result.append(_Timed(turn, steps, stream))
    return result
