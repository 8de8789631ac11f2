"""Folders of members that only tests know, put beside those of the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl import encoders
from frugalmtl.data import datasets


def add_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the registries find the encoders ``toy_groups`` and ``toy_router`` and the dataset ``sealed``."""
    for package in (encoders, datasets):
        folder = Path(__file__).parent / package.__name__.rpartition(".")[2]
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
