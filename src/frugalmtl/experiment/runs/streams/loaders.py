"""Loaders of a run: batches as its network takes them, of a split or of the streams of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frugalmtl.core.recipe import TRAIN, VALIDATION
from frugalmtl.core.seeding import derive_seed
from frugalmtl.data import Loader, Split, Transform, augmentation
from frugalmtl.data.loading import worker_count
from frugalmtl.engine.launch import trains_on_cpu
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.streams.parts import StreamPart
from frugalmtl.tasks import Task


def make_loader(
    built: Built,
    samples: Split,
    config: Experiment,
    *,
    rank: int = 0,
    world_size: int = 1,
    training: bool = True,
    seed: int | None = None,
) -> Loader:
    """Batches of samples as the experiment's network takes them; by the experiment's seed unless another is given.

    Those of a training are augmented and in a new order every epoch; others are as stored.
    """
    transform = make_transform(built, built.tasks, config, training=training)
    settings = config.train
    batches = -(-len(samples) // settings.batch_size)
    return Loader(
        samples,
        transform,
        batch_size=settings.batch_size,
        seed=config.seed if seed is None else seed,
        evaluation=not training,
        workers=worker_count(
            settings.workers,
            on_cpu=trains_on_cpu(settings),
            batches=batches,
            processes=settings.devices,
            decoded=samples.decoded,
        ),
        rank=rank,
        world_size=world_size,
    )


def make_transform(built: Built, tasks: Sequence[Task], config: Experiment, *, training: bool) -> Transform:
    """Samples as the experiment's network takes them, with labels of these tasks; augmented for a training."""
    return Transform(
        tasks,
        built.image_size,
        augmentation(config.augmentation) if training else None,
        built.backbone.mean,
        built.backbone.std,
        fit=config.fit,
        fill=config.fill,
    )


def training_loaders(
    built: Built, parts: Mapping[str, StreamPart], config: Experiment, rank: int, world_size: int
) -> dict[str, Loader]:
    """The batches of every stream that can be trained on, each in an order of its own.

    One that does not fill a batch is not: nothing reads it but what looks at all of its samples when a stage ends
    (:func:`~frugalmtl.experiment.runs.streams.parts.check_streams`).
    """
    return {
        name: make_loader(
            built, one.samples, config, rank=rank, world_size=world_size, seed=_stream_seed(config.seed, name)
        )
        for name, one in parts.items()
        if name == TRAIN or len(one.samples) >= config.train.batch_size
    }


def _stream_seed(seed: int, stream: str) -> int:
    if stream == TRAIN:
        return seed
    return derive_seed(seed, "second stream") if stream == VALIDATION else derive_seed(seed, "stream", stream)
