"""The base of loggers, and the check that those of a run are installed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import read_json
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.files import write_text
from frugalmtl.core.registry import SpecLike
from frugalmtl.engine.loggers import LOGGERS

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

FOLDER = "loggers"
"""Folder of a run for what loggers write."""

_IDENTIFIERS = "identifiers.json"


@dataclass(frozen=True)
class LogPlace:
    """The run that a logger is opened for.

    Attributes:
        folder: of the run.
        step: that the run goes on from; 0 for one that begins.
        facts: how it is trained, in one level.
    """

    folder: Path
    step: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        """Folder for what loggers write."""
        return self.folder / FOLDER

    def identifier(self, logger: str) -> str | None:
        """By which a logger knows the run again that goes on; None if it does not know it yet.

        Raises:
            UserError: the record is damaged.
        """
        return self._identifiers().get(logger)

    def remember(self, logger: str, identifier: str) -> str:
        """Keep the identifier that a logger knows the run by; returns it.

        Raises:
            UserError: it cannot be written.
        """
        path = self.files / _IDENTIFIERS
        write_text(path, json_text({**self._identifiers(), logger: identifier}) + "\n")
        return identifier

    def _identifiers(self) -> dict[str, str]:
        path = self.files / _IDENTIFIERS
        if self.step == 0 or not path.exists():
            return {}
        content = read_json(path, "identifiers of loggers", remedy="delete it; the loggers begin new runs then")
        return {str(key): str(value) for key, value in content.items()}


class RunLogger:
    """A way to log the figures of a run.

    Attributes:
        needs: ``{module: extra of this library that installs it}``.
        replays: whether what it writes begins anew when a run goes on, so that it gets the figures of before again.
    """

    needs: ClassVar[Mapping[str, str]] = {}
    replays: ClassVar[bool] = False

    def open(self, place: LogPlace) -> Logger:
        """Lightning's logger of a run.

        Args:
            place: of the run.
        """
        raise NotImplementedError

    def name_of(self, figure: str) -> str:
        """The name of a figure (``epoch/losses/depth``) as this logger takes it."""
        return figure

    def close(self, logger: Logger, *, complete: bool) -> None:
        """Write what is left.

        Args:
            logger: that :meth:`open` gave.
            complete: whether the training ended, rather than failed.
        """
        logger.finalize("success" if complete else "failed")


def require_loggers(sections: Sequence[SpecLike]) -> None:
    """Check that what loggers need is installed.

    Raises:
        UserError: it is not; names what installs it.
    """
    for section in sections:
        name = LOGGERS.check(section).name
        needs: Mapping[str, str] = LOGGERS.fact(name, "needs", {})
        missing = [module for module in needs if find_spec(module) is None]
        if missing:
            extra = needs[missing[0]]
            raise UserError(
                f"logger {name!r} needs {', '.join(missing)}: run pip install 'frugalmtl[{extra}]', or leave it out"
            )


def new_identifier() -> str:
    """An identifier that no other run has."""
    return secrets.token_hex(4)
