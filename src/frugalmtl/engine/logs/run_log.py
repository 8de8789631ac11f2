"""Run log: one JSON object per line, and the same figures for the loggers of the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import parse_json
from frugalmtl.core.documents.json_values import json_text, with_nan
from frugalmtl.core.files import write_text
from frugalmtl.core.registry import SpecLike
from frugalmtl.core.terminal import visible
from frugalmtl.engine.loggers import LOGGERS
from frugalmtl.engine.loggers.base import LogPlace, RunLogger

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

FILE = "log.jsonl"
_warnings = logging.getLogger(__name__)


class RunLog:
    """Appends records to ``log.jsonl``; each has ``event`` and ``step`` (optimiser steps done, of the whole run).

    When a run goes on from a checkpoint, the records after that checkpoint (and an unfinished line of a killed
    run) are removed, so the log reads as if the run had never been interrupted.

    Args:
        folder: the run's folder; ``None`` logs nothing (all processes but the first).
        step: step that the run goes on from.
        loggers: sections of ``engine/loggers``, which get the figures of the records too.
        facts: how the run is trained, for the loggers.

    Raises:
        UserError: the folder cannot be written, or a logger cannot begin.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        step: int = 0,
        loggers: Sequence[SpecLike] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = None if folder is None else folder / FILE
        self._opened: list[tuple[str, RunLogger, Logger]] = []
        if self._path is None or folder is None:
            return
        for leftover in folder.glob(f".{FILE}.*.tmp"):  # of a killed process
            leftover.unlink(missing_ok=True)
        old = _lines(self._path) if step > 0 else []
        kept = [line for line in old if _step_of(line) <= step]
        write_text(self._path, "".join(f"{line}\n" for line in kept))
        for section in loggers:
            self._open(section, LogPlace(folder, step, facts or {}), kept)

    def write(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        """Append one record.

        Raises:
            UserError: the operating system, or a logger, refused to write.
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
        for name, member, logger in self._opened:
            try:
                _log(member, logger, event, step, values)
            except Exception as error:  # whatever a server, or the program of a server, may raise
                raise UserError(
                    f"logger {name!r} cannot write: {_words(error)}: run the same command again, or leave it out of "
                    "'loggers'; the training goes on from its last checkpoint"
                ) from error

    def close(self, *, complete: bool = True) -> None:
        """Let the loggers write what is left.

        Args:
            complete: whether the training ended, rather than failed.
        """
        while self._opened:
            name, member, logger = self._opened.pop()
            try:
                member.close(logger, complete=complete)
            except Exception as error:  # as above; whatever ended the training is not to be hidden
                _warnings.warning("logger %r did not write its last figures: %s", name, visible(_words(error)))

    def _open(self, section: SpecLike, place: LogPlace, lines: Sequence[str]) -> None:
        name, member = LOGGERS.check(section).name, LOGGERS.build(section)
        try:
            logger = member.open(place)
            for record in map(parse_json, lines if member.replays else ()):
                event, step = record.pop("event"), record.pop("step")
                _log(member, logger, event, step, with_nan(record))
        except Exception as error:  # as above
            raise UserError(
                f"logger {name!r} cannot begin: {_words(error)}: check its options (frugalmtl list logger {name}), or "
                "leave it out of 'loggers'"
            ) from error
        self._opened.append((name, member, logger))


def _log(member: RunLogger, logger: Logger, event: str, step: int, values: Mapping[str, Any]) -> None:
    """Hand the figures of a record to a logger; after an epoch it writes all that it has."""
    logger.log_metrics({member.name_of(f"{event}/{name}"): value for name, value in _flat(values)}, step)
    if event == "epoch":
        logger.save()


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


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
