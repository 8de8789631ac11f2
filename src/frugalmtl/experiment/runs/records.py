"""Records of a run, read over where they are damaged and another place holds the same, else refused with a remedy."""

from __future__ import annotations

import logging
import math
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import UnreadableError, parse_json, read_json
from frugalmtl.core.documents.json_values import number_of, with_nan
from frugalmtl.core.files import read_text
from frugalmtl.core.schema import read
from frugalmtl.engine.checkpoints import read_state

Kind = TypeVar("Kind")
Epochs = list[dict[str, Any]]
_log = logging.getLogger(__name__)

NUMBERS = ("losses", "parts", "weights", "norms", "cosines", "conflicts", "affinity")
"""Keys of an epoch's record that hold ``{name: number}``."""


def read_kept(kind: type[Kind], path: Path) -> Kind:
    """The content of a file of scores, or of remarks on them.

    Raises:
        UserError: the file is missing or damaged.
    """
    remedy = "delete it; the next evaluation writes it again"
    try:
        return read(kind, parse_json(read_text(path, "scores")), str(path), readers={float: number_of})
    except UserError as error:
        raise UserError(f"{error} ({remedy})" if path.exists() else str(error)) from None
    except UnreadableError as error:
        raise UserError(f"{path} is damaged ({error}): {remedy}") from None


def read_environment(path: Path) -> dict[str, Any]:
    """Versions and hardware of a training; nothing where the record is lost, which is logged: no figure needs it."""
    try:
        return read_json(path, "environment", remedy="leave it out")
    except UserError:
        _warn(f"{path} is missing or damaged: the versions and the hardware of this training are not known")
        return {}


def read_epochs(log: Path, checkpoint: Path | None) -> Epochs:
    """One record per epoch, from a run's log; from its final checkpoint, which is logged, where the log is not whole.

    The checkpoint holds the same but for the seconds of all epochs but the last (NaN then).

    Args:
        log: file of JSON lines.
        checkpoint: final one, or None while the run is not finished: the log is read as far as it goes then.

    Raises:
        UserError: both are damaged.
    """
    records, whole = _parse(log)
    if checkpoint is None:
        return records
    state = read_state(checkpoint, {"history", "seconds"})
    try:
        history = [with_nan(record) for record in parse_json(state["history"])]
        seconds = float(state["seconds"])
    except (ValueError, TypeError):
        history, seconds = [], math.nan
    numbers = [record["epoch"] for record in records]
    if whole and numbers == list(range(len(history) or len(numbers))):
        return records
    if not history or not all(_sound({**record, "seconds": 0.0}) for record in history):
        raise UserError(f"{log} is missing or damaged, and {checkpoint} does not hold its epochs: restore the file")
    _warn(f"{log} is missing or damaged: its epochs are read from {checkpoint}")
    return [{**record, "seconds": math.nan} for record in history[:-1]] + [{**history[-1], "seconds": seconds}]


def _parse(log: Path) -> tuple[Epochs, bool]:
    """The sound records of epochs in a log, and whether every line is sound."""
    try:
        lines = log.read_bytes().splitlines()
    except OSError:
        return [], False
    records, whole = [], True
    for line in lines:
        try:
            record = with_nan(parse_json(line))
            epoch = record["event"] == "epoch"
        except (ValueError, TypeError, KeyError):
            whole = False
            continue
        if epoch and _sound(record):
            records.append(record)
        elif epoch:
            whole = False
    return records, whole


def _sound(record: Any) -> bool:
    """Whether an epoch's record holds what its readers take for granted."""
    if not isinstance(record, dict) or not isinstance(record.get("stage"), str):
        return False
    if not isinstance(record.get("epoch"), int) or not isinstance(record.get("parts"), dict):
        return False
    scores = record.get("scores", {})
    mappings = [record.get(key, {}) for key in NUMBERS]
    mappings += list(scores.values()) if isinstance(scores, dict) else [scores]
    finite = _number(record.get("seconds")) and math.isfinite(record["seconds"])
    return finite and all(isinstance(item, dict) and all(map(_number, item.values())) for item in mappings)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@cache
def _warn(message: str) -> None:
    """Log a warning, once a process."""
    _log.warning("%s", message)
