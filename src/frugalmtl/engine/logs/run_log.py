"""Run log: one JSON object per line, and TensorBoard events if wanted."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import parse_json
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.files import write_text

FILE = "log.jsonl"


class RunLog:
    """Appends records to ``log.jsonl``; each has ``event`` and ``step`` (optimiser steps done, of the whole run).

    When a run goes on from a checkpoint, the records after that checkpoint (and an unfinished line of a killed
    run) are removed, so the log reads as if the run had never been interrupted.

    Args:
        folder: the run's folder; ``None`` logs nothing (all processes but the first).
        step: step that the run goes on from.
        tensorboard: also write events to ``folder/tensorboard``.

    Raises:
        UserError: TensorBoard is wanted but not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path | None, *, step: int = 0, tensorboard: bool = False) -> None:
        self._path = None if folder is None else folder / FILE
        self._events: Any = None
        if self._path is None or folder is None:
            return
        for leftover in folder.glob(f".{FILE}.*.tmp"):  # of a killed process
            leftover.unlink(missing_ok=True)
        old = _lines(self._path) if step > 0 else []
        kept = [line for line in old if _step_of(line) <= step]
        write_text(self._path, "".join(f"{line}\n" for line in kept))
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            events: Any = SummaryWriter
            self._events = events(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        """Append one record.

        Raises:
            UserError: the operating system refused to write.
        """
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json_text({"event": event, "step": step, **values}, indent=None) + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self._path}: {error.strerror or error}: free the space, run again"
            ) from error
        if self._events is not None:
            for name, value in _flat(values):
                self._events.add_scalar(f"{event}/{name}", value, step)

    def close(self) -> None:
        """Flush the events."""
        if self._events is not None:
            self._events.close()


def require_tensorboard() -> None:
    """Check that TensorBoard can be written.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("tensorboard: true needs TensorBoard: pip install 'frugalmtl[tensorboard]', or set it to false")


def _lines(path: Path) -> list[str]:
    """The lines of an earlier log; what is no text in them is no record either."""
    try:
        return path.read_bytes().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}: restore it, or move it away") from None


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    flat: list[tuple[str, float]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.extend(_flat(value, f"{prefix}{key}/"))
        elif isinstance(value, int | float):
            flat.append((prefix + key, float(value)))
    return flat


def _step_of(line: str) -> float:
    try:
        return float(parse_json(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
