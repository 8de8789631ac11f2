"""A canary, a small experiment, and finished runs to be damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import experiment, room_cache

__all__ = ["experiment", "room_cache"]

EARLIER = Path(__file__).parents[1] / "integration" / "data" / "earlier_runs"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """What exists if a payload was executed."""
    return tmp_path / "executed"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run that somebody else handed over."""
    return Path(shutil.copytree(EARLIER / "cross_stitch", tmp_path / "run"))
