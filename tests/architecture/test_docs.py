"""Every member of every room stands in docs/methods.md, as there and not as missing, and introduces itself."""

from __future__ import annotations

import re
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


def test_what_is_there_is_not_listed_as_missing() -> None:
    """Names are compared by letters and digits alone: "Pareto-MTL" is ``pareto_mtl``."""
    text = METHODS.read_text(encoding="utf-8").partition("## Not yet there")[2]
    listed = re.split(r"[,.:]|\band\b", text)
    missing = {re.sub(r"[^a-z0-9]", "", name.lower()) for name in listed} - {""}
    assert missing, "docs/methods.md has no list of what is missing"
    there = {name.replace("_", ""): f"{room}/{name}" for room, name in MEMBERS}
    assert [there[name] for name in sorted(missing & there.keys())] == []
