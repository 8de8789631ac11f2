"""Identity of an experiment: the keys of its config that decide what is learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalmtl.core.checks import UserError
from frugalmtl.engine.checkpoints import facts_at_start
from frugalmtl.engine.checkpoints.identity import difference, flatten
from frugalmtl.experiment.config.experiment import Experiment, InitFrom
from frugalmtl.experiment.config.files import as_plain

FREE = ("published", "name", "evaluate_split", "test_split")
"""Keys of a config that do not change what is learned; ``train`` has such keys of its own
(:meth:`~frugalmtl.engine.settings.TrainSettings.identity` leaves them out)."""


def identity(config: Experiment) -> dict[str, Any]:
    """The keys of a config beside ``train`` that must not differ when a run is continued."""
    plain = {key: value for key, value in as_plain(config).items() if key not in (*FREE, "train")}
    if config.start is not None and config.start == InitFrom(config.start.run):
        plain["init_from"] = config.start.run  # the same, written in another way
    if plain["balancer"].get("held_out") == 0:
        del plain["balancer"]["held_out"]  # as runs of earlier versions, which held out nothing and did not say so
    chosen = {"evaluate_split": config.evaluate_split} if config.train.chosen_by_scores else {}
    return plain | chosen


def binding(config: Experiment) -> dict[str, Any]:
    """All that a run may not be continued without; nested keys of ``train`` by their dotted names."""
    settings = as_plain(config.train)
    return identity(config) | {f"train.{key}": settings[key] for key in config.train.identity()}


def require_unchanged(config: Experiment, checkpoint: Path) -> None:
    """Check that a config is the one that a run was trained by, but for keys that change nothing.

    Args:
        config: that of the run now.
        checkpoint: of the run.

    Raises:
        UserError: names the first key that differs; or the checkpoint is damaged.
    """
    change = change_since(facts_at_start(checkpoint), config)
    if change is not None:
        key, before, now = change
        raise UserError(
            f"{checkpoint.parents[1]} was trained with {key} {before!r}, but its config says {now!r}: restore it, or "
            "choose another folder to train anew"
        )


def change_since(start: Mapping[str, Any], config: Experiment) -> tuple[str, Any, Any] | None:
    """The first key in which a config differs from that with which a run started, with the value then and now.

    Sections that the program did not know then count as their defaults, sections that it has dropped not at all.

    Args:
        start: facts of the run (:meth:`~frugalmtl.engine.job.TrainJob.facts`).
        config: the config now.
    """
    sections = _sections(config)
    kinds = {_section(key) for key in sections}
    old = {key: value for key, value in start.items() if _section(key) in kinds}
    known_then = {_section(key) for key in old}
    defaults = flatten(_sections(Experiment()))
    added = {key: value for key, value in defaults.items() if _section(key) not in known_then}
    change = difference(old, flatten(sections), added)
    return None if change is None else (change[0].removeprefix("config."), *change[1:])


def _sections(config: Experiment) -> dict[str, Any]:
    """The facts of a training that come from its config alone, by the first two parts of their keys."""
    sections = {f"config.{key}": value for key, value in identity(config).items()}
    return sections | {f"train.{key}": value for key, value in config.train.identity().items()} | {"seed": config.seed}


def _section(key: str) -> tuple[str, ...]:
    return tuple(key.split(".")[:2])
