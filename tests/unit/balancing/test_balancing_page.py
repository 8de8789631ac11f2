"""The page on balancing names every balancer, says what its weights add up to, and quotes commands that run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frugalmtl.balancing import BALANCERS
from frugalmtl.cli.main import main

PAGE = Path(__file__).parents[3] / "docs" / "balancing.md"


def test_the_table_of_scales_is_that_of_the_code() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (sum|mean|free) \| [^|]+ \| [^|]+ \| (\w*) ?\|$", PAGE.read_text(), flags=re.MULTILINE
    )
    expected = {}
    for name in BALANCERS.names():
        places = BALANCERS.schema(name).get("gradients_at")
        expected[name] = (BALANCERS.get(name).scale, places.default if places else "")  # type: ignore[attr-defined]
    assert {name: (scale, place) for name, scale, place in rows} == expected


def test_every_balancer_is_suggested_for_something() -> None:
    (advice,) = re.findall(r"^## Choosing a balancer$.*?(?=^## )", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert [name for name in BALANCERS.names() if f"`{name}`" not in advice] == []


QUOTED = re.findall(r"`frugalmtl (list[^`]*)`", PAGE.read_text())


def test_the_page_says_how_to_list_balancers_and_options() -> None:
    assert {"list balancing", "list balancing pcgrad"} <= set(QUOTED)


@pytest.mark.parametrize("command", QUOTED)
def test_quoted_commands_run(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 0
    assert "pcgrad" in capsys.readouterr().out
