"""Kinds of configs: which command a file is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.comparison import Comparison
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.sweep import Sweep

COMMANDS = {
    Experiment: ("an experiment", "train"),
    Comparison: ("a comparison", "compare"),
    Sweep: ("a sweep", "sweep"),
}
"""Kinds of configs, in words, with the command that trains them."""


def kind_of(content: Mapping[str, Any]) -> type:
    """The kind of config that plain values are of: a sweep has a key ``sweep``, a comparison has ``rows``.

    >>> kind_of({"base": {}, "rows": {}}).__name__
    'Comparison'
    """
    return Sweep if "sweep" in content else Comparison if "rows" in content else Experiment


def require_kind(expected: type, content: Mapping[str, Any], source: str) -> None:
    """Refuse the content of a file that is the config of another command.

    Args:
        expected: class of the config.
        content: plain values.
        source: the file, in messages.

    Raises:
        UserError: it is of another kind, and has a key that only that kind knows.
    """
    kind = kind_of(content)
    if expected not in COMMANDS or kind is expected or not is_dataclass(expected):
        return
    keys = {item.name for item in fields(expected)}
    if set(content) - keys:
        words, command = COMMANDS[kind]
        raise UserError(f"{source} is the config of {words}: run 'frugalmtl {command} --config {source}'")
