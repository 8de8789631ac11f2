"""Parts of the training split that the streams of a run read, and their check before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import TRAIN, VALIDATION, Share
from frugalmtl.data import Dataset, Split, part
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.checkpoints import facts_at_start
from frugalmtl.engine.stages.timetable import streams_of
from frugalmtl.experiment.runs.build import Built
from frugalmtl.model import MultiTaskModel

SPLIT = "train"
"""The split that is trained on."""


@dataclass(frozen=True)
class StreamPart:
    """The samples of one stream.

    Attributes:
        name: of the stream.
        share: of the training split, by a hash of the sample's id.
        samples: in the order of the split.
        total: samples of the whole split.
        option: what in the config decides on its share.
    """

    name: str
    share: Share
    samples: Split
    total: int
    option: str

    def __str__(self) -> str:
        return f"stream {self.name!r} ({_text(self.share)}, {len(self.samples)} of {self.total} samples)"


def stream_parts(built: Built, dataset: Dataset) -> dict[str, StreamPart]:
    """The samples of every stream.

    A balancer's held-out share ``h`` lies in ``[1 - h, 1)`` and is read by its second stream alone; all others share
    what is left, in the proportions that the encoder states.

    Raises:
        UserError: a stream has no samples.
    """
    balancer, split = built.balancer, dataset.split(SPLIT)
    kept = 1.0 - balancer.held_out
    held_out = f"balancer.held_out ({balancer.held_out:g})"
    shares: dict[str, tuple[Share, str]] = {TRAIN: ((0.0, kept), held_out)}
    if balancer.needs_validation_stream:
        shares[VALIDATION] = (kept, 1.0) if balancer.held_out else (0.0, 1.0), held_out
    for name, (start, stop) in built.model.encoder.streams().items():
        shares[name] = (start * kept, stop * kept), "the shares of its streams in the section 'encoder'"
    parts = {}
    for name, (share, option) in shares.items():
        try:
            parts[name] = StreamPart(name, share, part(split, *share), len(split), option)
        except UserError as error:
            raise UserError(f"stream {name!r} ({_text(share)}): {error}; the share follows from {option}") from None
    return parts


def check_streams(built: Built, parts: dict[str, StreamPart], settings: TrainSettings) -> list[str]:
    """Check that every stream has a label of every task that is trained or scored on it.

    One that is trained on must fill a batch; what is only looked at when a stage ends may hold fewer samples.

    Returns:
        A note on what is held out, if anything is.

    Raises:
        UserError: names the stream, its share, how many samples it has, and what to change.
    """
    wanted = _wanted_tasks(built)
    for name, one in parts.items():
        if name != TRAIN or built.balancer.held_out:
            if name in wanted or name in (TRAIN, VALIDATION):
                _check_batch(one, settings.batch_size)
            _check_labels(one, wanted.get(name, _scored(built)))
    balancer = built.balancer
    if not balancer.held_out:
        return []
    count = len(parts[VALIDATION].samples) if VALIDATION in parts else 0
    return [
        f"{balancer.method} holds out {balancer.held_out:.0%} of the training split ({count} of {parts[TRAIN].total} "
        "samples), on which its weights alone are learned (balancer.held_out)"
    ]


def held_out_fact(built: Built) -> dict[str, float]:
    """A fact of a training that its config need not state; runs of earlier versions held out nothing."""
    return {"held_out": built.balancer.held_out} if built.balancer.held_out else {}


def require_same_part(built: Built, checkpoint: Path) -> None:
    """Check that a run goes on with the part held out that it began with.

    Raises:
        UserError: it does not; or the checkpoint is damaged.
    """
    before, now = facts_at_start(checkpoint).get("config.held_out", 0.0), built.balancer.held_out
    if before != now:
        raise UserError(
            f"the run in {checkpoint.parents[1]} began with {before:g} of the training split held out for its balancer "
            f"and now has {now:g}: set balancer.held_out to {before:g} to continue it, or choose another folder"
        )


def _check_batch(one: StreamPart, batch_size: int) -> None:
    if len(one.samples) < batch_size:
        raise UserError(
            f"{one} holds fewer samples than one batch of {batch_size}: take a smaller train.batch_size or change "
            f"{one.option}"
        )


def _check_labels(one: StreamPart, tasks: dict[str, str]) -> None:
    for task, reader in tasks.items():
        if not one.samples.labelled(task):
            raise UserError(
                f"{one} has no label of task {task!r}, which {reader} needs: change {one.option}, or leave the task out"
            )


def _scored(built: Built) -> dict[str, str]:
    """Tasks that are scored, and who needs their labels."""
    return {task.name: "its score" for task in built.tasks if not task.auxiliary}


def _wanted_tasks(built: Built) -> dict[str, dict[str, str]]:
    """``{stream: {task: turn}}`` of the tasks that turns train on each stream."""
    wanted: dict[str, dict[str, str]] = {}
    for stream, turn, tasks in _readers(built.model):
        for task in _scored(built) if tasks is None else tasks:
            wanted.setdefault(stream, {}).setdefault(task, f"the turn {turn!r}")
    return wanted


def _readers(model: MultiTaskModel) -> list[tuple[str, str, tuple[str, ...] | None]]:
    """Stream, name and tasks of every turn of the stages that have any epochs."""
    stages = [stage for stage in model.recipe() if stage.share > 0]
    return [(stream, turn.name, turn.tasks) for stage in stages for turn, stream in streams_of(stage)]


def _text(share: Share) -> str:
    start, stop = share
    return (
        "the whole training split" if share == (0.0, 1.0) else f"the part [{start:g}, {stop:g}) of the training split"
    )
