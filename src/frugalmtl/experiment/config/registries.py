"""Every registry, by its name and by its key in a config."""

from __future__ import annotations

from frugalmtl.backbones import BACKBONES
from frugalmtl.balancing import BALANCERS
from frugalmtl.core.checks import known
from frugalmtl.core.registry import Collection, Registry
from frugalmtl.data import DATASETS
from frugalmtl.data.augmentation import PRESETS
from frugalmtl.data.encodings import ENCODINGS
from frugalmtl.decoders import DECODERS
from frugalmtl.decoders.heads import HEADS
from frugalmtl.encoders import ENCODERS
from frugalmtl.engine.loggers import LOGGERS
from frugalmtl.engine.optimizers import OPTIMIZERS
from frugalmtl.engine.schedules import SCHEDULES
from frugalmtl.evaluation import METRICS
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.flags import sections
from frugalmtl.export import EXPORTERS
from frugalmtl.losses import LOSSES
from frugalmtl.tasks import TASKS

REGISTRIES: dict[str, Registry] = {
    "tasks": TASKS,
    "data": DATASETS,
    "backbones": BACKBONES,
    "encoders": ENCODERS,
    "decoders": DECODERS,
    "heads": HEADS,
    "losses": LOSSES,
    "balancing": BALANCERS,
    "metrics": METRICS,
    "export": EXPORTERS,
}
"""Registries of methods, by the names of their packages."""

LISTED: dict[str, Registry] = {
    **REGISTRIES,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
    "loggers": LOGGERS,
    "encodings": ENCODINGS,
    "presets": Collection("preset", PRESETS),
}
"""All registries, in the order in which they are listed."""


def registry_of(word: str) -> Registry:
    """The registry of that name: its package's, its word for one member, or its key in a config.

    Raises:
        UserError: there is none.
    """
    by_key = sections(Experiment)
    words = {registry.what: registry for registry in LISTED.values()}
    names = {**{key.split(".")[-1]: item for key, item in by_key.items()}, **by_key, **words, **LISTED}
    return names[known("registry", word, names)]
