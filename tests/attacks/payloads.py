"""Payloads that leave a trace if anything executes them, and the check that nothing did."""

from __future__ import annotations

import os
import pickle
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.cli.main import main

SECONDS = 60.0
"""Far more than any refusal takes on a busy machine, far less than what an attack wants."""
MEGABYTES = 800.0


class Payload:
    """An object whose unpickling makes a folder."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def pickled(canary: Path) -> bytes:
    """A pickle that executes when it is loaded without care (it does: a test makes sure)."""
    return pickle.dumps({"weights": Payload(canary)})


def peak_memory() -> float:
    """Megabytes that this process has ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


@contextmanager
def harmless(canary: Path) -> Iterator[None]:
    """Nothing inside executes the payload, takes long or takes much memory."""
    start, before = time.monotonic(), peak_memory()
    yield
    assert not canary.exists(), "a payload was executed"
    assert time.monotonic() - start < SECONDS
    assert peak_memory() - before < MEGABYTES


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], canary: Path) -> str:
    """Run a command that must refuse in one line without executing anything; the line."""
    capsys.readouterr()
    with harmless(canary):
        assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 1, lines
    assert lines[0].startswith("frugalmtl: error: ")
    assert len(lines[0]) < 1200
    return lines[0]
