"""Every member of every room stands in docs/methods.md and introduces itself in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.experiment import ROOMS

METHODS = Path(__file__).parents[2] / "docs" / "methods.md"
MEMBERS = [(room, name) for room, registry in ROOMS.items() for name in registry.names()]


@pytest.mark.parametrize(("room", "name"), MEMBERS, ids=lambda value: str(value))
def test_member_has_a_row(room: str, name: str) -> None:
    rows = [line for line in METHODS.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert any(f"`{name}`" in line and f"| {room} |" in line for line in rows), (
        f"docs/methods.md has no row for {room}/{name}"
    )


@pytest.mark.parametrize(("room", "name"), MEMBERS, ids=lambda value: str(value))
def test_member_introduces_itself(room: str, name: str) -> None:
    line = ROOMS[room].describe(name)
    assert 10 < len(line) <= 140
    assert line.endswith((".", ":")), f"{room}/{name}: {line!r}"
