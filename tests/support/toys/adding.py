"""Toy encoders dropped into the registry as files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from frugalmtl import encoders


def add_toys(monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> Path:
    """Let the registry of encoders find toys, as copies in ``folder/encoders``, which is returned."""
    room = folder / "encoders"
    room.mkdir()
    for name in names:
        shutil.copy(Path(__file__).parent / f"{name}.py", room)
    monkeypatch.setattr(encoders, "__path__", [*encoders.__path__, str(room)])
    return room
