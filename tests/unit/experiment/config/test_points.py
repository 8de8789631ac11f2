"""Operating points of a config: listed by the encoder, chosen by a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.points import check_points, point_of, points_of
from tests.support.toys.adding import add_toys


@pytest.fixture(autouse=True)
def _router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_toys(monkeypatch, tmp_path, "toy_router")


def router(*points: Any) -> dict[str, Any]:
    return {"name": "toy_router", "points": list(points)}


def test_a_point_is_found_however_its_budget_is_written() -> None:
    section = router("0.2x", " 1.20G")
    assert points_of(section) == ("0.2x", "1.20G")
    assert [point_of(section, text) for text in ("0.2x", "0.20x", "1.2G", "1200M ")] == [
        "0.2x",
        "0.2x",
        "1.20G",
        "1.20G",
    ]


def test_encoders_without_points_have_none() -> None:
    assert points_of("hard_sharing") == points_of("toy_router") == ()


@pytest.mark.parametrize(
    ("section", "text", "message"),
    [
        (router("0.2x", "0.3x"), "0.4x", "unknown budget '0.4x': expected one of 0.2x, 0.3x$"),
        (router("0.2x"), "fast", "unknown budget 'fast': expected one of 0.2x"),
        (router("0.2x"), "35ms", "unknown budget '35ms': expected one of 0.2x"),
        (router(), "0.2x", "was not trained for any; train it with a list such as encoder: {points:"),
        ("hard_sharing", "0.2x", "the cost of encoder 'hard_sharing' is fixed"),
    ],
)
def test_a_budget_that_cannot_be_chosen_is_refused(section: Any, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        point_of(section, text)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("0.2x", "must be a list of budgets"),
        ([0.2], "must be a list of budgets"),
        (None, "must be a list of budgets"),
        (["0.2y"], "row must be shares of the single-task networks such as 0.2x or"),
        (["-1x"], "row must be shares"),
        (["0x"], "row must be shares"),
        (["35ms"], "time differs from machine to machine"),
        (["0.2x", "0.20x"], "holds '0.2x' and '0.20x', which are the same"),
        (["0.20000000000000000000000001x"], "becomes part of file names"),
    ],
)
def test_lists_that_are_no_points_are_refused(listed: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_points("row", listed)


def test_the_section_of_an_encoder_is_checked_too() -> None:
    with pytest.raises(UserError, match=r"'points' of encoder 'toy_router' holds '0.2x' and '0.2x'"):
        points_of(router("0.2x", "0.2x"))
