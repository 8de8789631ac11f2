"""Identity of a run: the facts that must not differ when it is continued."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frugalmtl.core.checks import UserError


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested values as one level: ``{"train.epochs": 60, "stages.0.name": "train", ...}``, all of them plain."""
    items: Sequence[tuple[Any, Any]]
    if isinstance(values, Mapping):
        items = list(values.items())
    elif isinstance(values, list | tuple):
        items = list(enumerate(values))
    else:
        return {prefix: values if isinstance(values, int | float | str) or values is None else str(values)}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def require_same(
    old: Mapping[str, Any], new: Mapping[str, Any], run_dir: Path, defaults: Mapping[str, Any] | None = None
) -> None:
    """Compare the facts with which a run started and those with which it shall go on.

    Args:
        old: when it started.
        new: now.
        run_dir: of the run, for messages.
        defaults: values of settings that a run of an earlier version did not know yet.

    Raises:
        UserError: names the first key that differs, and both values.
    """
    change = difference(old, new, defaults)
    if change is not None:
        key, before, now = change
        raise UserError(
            f"cannot continue the run in {run_dir}: {key} was {before!r} when it started and is {now!r} now; restore "
            "it, or choose another folder"
        )


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> tuple[str, Any, Any] | None:
    """The first key that differs, and both values; None if all agree. See :func:`require_same`."""
    now = json.loads(json.dumps(new))  # as it looks after a round through the checkpoint
    before = {key: value for key, value in json.loads(json.dumps(defaults or {})).items() if key in now} | dict(old)
    for key in [*now, *(key for key in before if key not in now)]:
        if before.get(key, "(absent)") != now.get(key, "(absent)"):
            return key, before.get(key, "(absent)"), now.get(key, "(absent)")
    return None
