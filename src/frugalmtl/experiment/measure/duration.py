"""Expected duration of a training, from one step of each of its stages on this machine."""

from __future__ import annotations

from dataclasses import replace

from frugalmtl.core.counting import device_of
from frugalmtl.core.recipe import stage_epochs
from frugalmtl.engine.randomness import isolated
from frugalmtl.engine.step_timing import TOTAL, noise_batch
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.training_cost import step_timer
from frugalmtl.experiment.runs.build import Built

MINUTE = 60.0


def expected_seconds(config: Experiment, built: Built, training_images: int, evaluated_images: int) -> float:
    """Seconds that a training and its evaluations will take: steps of every stage, and a forward pass per image.

    One step of each stage is taken on a batch of noise and not counted, the next one is timed. Loading and
    augmentation are left out. Copies are trained; the random generators are afterwards as before.

    Args:
        config: the experiment.
        built: its objects.
        training_images: images in an epoch.
        evaluated_images: images evaluated over the whole training.
    """
    settings = replace(config.train, accumulate=1)
    recipe = built.model.recipe()
    lengths = [length for length in stage_epochs(recipe, settings.epochs) if length > 0]
    steps = training_images // settings.batch_size
    seconds, forward = 0.0, []
    with isolated(device_of(built.model)):
        batch = noise_batch(built.tasks, built.image_size, settings.batch_size)
        for stage, epochs in enumerate(lengths):
            timer = step_timer(built, settings, batch, stage=stage, update=True)
            timer.take()
            parts = timer.time(parts=True)
            seconds += epochs * steps * parts[TOTAL] / 1000.0
            forward.append(parts["forward"] / 1000.0)
    return seconds + evaluated_images / settings.batch_size * sum(forward) / len(forward)


def duration_text(seconds: float) -> str:
    """A duration as people say it.

    >>> duration_text(42), duration_text(190), duration_text(7300)
    ('1 minute', '3 minutes', '2 h 2 min')
    """
    minutes = max(1, round(seconds / MINUTE))
    if minutes >= 100:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
