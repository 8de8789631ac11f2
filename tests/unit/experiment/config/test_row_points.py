"""Rows of a comparison at several operating points of one training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.evaluator import Evaluation
from frugalmtl.experiment.comparison.run_grid import RunGrid
from frugalmtl.experiment.config.comparison import Comparison, row_experiments, row_text
from frugalmtl.experiment.config.sweep import Axis, Sweep, expand
from tests.support.toys.adding import add_toys

BASE = {"tasks": [{"kind": "depth"}]}
ROUTER = {"name": "toy_router", "points": ["0.2x", "0.3x", "1.2G"]}


@pytest.fixture(autouse=True)
def _router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_toys(monkeypatch, tmp_path, "toy_router")


def comparison(row: dict[str, Any], **others: Any) -> Comparison:
    return Comparison(BASE, {"static": {}, "router": row, **others}, "static", [0, 1])


def grid(config: Comparison, folder: Path) -> RunGrid:
    return RunGrid(config, folder, {seed: row_experiments(config, seed) for seed in config.seeds}, cast(Any, None))


def test_one_training_gives_a_row_per_point(tmp_path: Path) -> None:
    row = {"encoder": ROUTER, "points": ["0.30x", "1.2G"]}
    runs = grid(comparison(row, later={"init_from": {"run": "router"}}), tmp_path)
    assert runs.cells() == [(seed, name) for seed in (0, 1) for name in ("static", "router", "later")]
    reported = runs.reported()
    assert list(reported) == ["static", "router@0.3x", "router@1.2G", "later"]
    assert {run.folder.name for run in reported["router@1.2G"]} == {"router-seed0", "router-seed1"}
    assert [run.point for run in reported["router@1.2G"]] == ["1.2G", "1.2G"]
    source = runs.source("later", 1)
    assert source is not None
    assert (source.folder.name, source.point) == ("router-seed1", None)


def test_a_training_is_done_when_every_point_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = grid(comparison({"encoder": ROUTER, "points": ["0.2x", "0.3x"]}), tmp_path)
    monkeypatch.setattr("frugalmtl.experiment.runs.run.Run.finished", True)
    for run in runs.results("router", 0).values():
        assert not runs.done("router", 0)
        run.folder.mkdir(parents=True, exist_ok=True)
        run.write_scores("test", Evaluation({"depth": {"rmse": 1.0}}, {}))
    assert runs.done("router", 0)


def test_titles_say_the_point_and_points_of_a_training_have_a_curve() -> None:
    titled = comparison({"encoder": ROUTER, "points": ["0.2x"], "title": "Router"})
    plain = comparison({"encoder": ROUTER, "points": ["0.2x"]})
    named = comparison({"encoder": ROUTER, "points": ["0.2x"], "title": "Router", "curve": "all routers"})
    texts = [
        [row_text(each, "router@0.2x", "title", "router@0.2x"), row_text(each, "router@0.2x", "curve", "")]
        for each in (titled, plain, named)
    ]
    assert texts == [["Router 0.2x", "Router"], ["router@0.2x", "router"], ["Router 0.2x", "all routers"]]
    assert [row_text(titled, "router", key, "") for key in ("title", "curve")] == ["Router", ""]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"encoder": ROUTER, "points": ["0.4x"]}, "'points' of row 'router': unknown budget '0.4x': expected one of"),
        ({"encoder": ROUTER, "points": ["0.2x", "0.20x"]}, "'points' of row 'router' holds '0.2x' and '0.20x'"),
        ({"encoder": ROUTER, "points": ["2ms"]}, "'points' of row 'router' must be shares"),
        ({"encoder": ROUTER, "points": ["half"]}, "'points' of row 'router' must be shares"),
        ({"encoder": ROUTER, "points": "0.2x"}, "'points' of row 'router' must be a list of budgets"),
        ({"encoder": ROUTER, "points": []}, "'points' of row 'router' is empty"),
        ({"encoder": {"name": "toy_router"}, "points": ["0.2x"]}, "was not trained for any"),
        ({"points": ["0.2x"]}, "row 'router': no budget '0.2x' can be chosen: the cost of encoder 'hard_sharing' is"),
        ({"encoder": ROUTER, "points": ["0.2x"], "shown": False}, "row 'router' is not shown, so its 'points'"),
    ],
)
def test_points_that_cannot_be_reported_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        row_experiments(comparison(row), 0)


def test_the_reference_has_one_result() -> None:
    config = Comparison(BASE, {"router": {"encoder": ROUTER, "points": ["0.2x"]}}, "router")
    with pytest.raises(UserError, match="row 'router' is the reference, which has one result"):
        row_experiments(config, 0)


def test_rows_of_a_sweep_take_points_and_each_training_has_a_curve(tmp_path: Path) -> None:
    axis = Axis("train.epochs", {"encoder": ROUTER, "points": ["0.2x", "0.3x"], "title": "epochs"}, [1, 2])
    config = expand(Sweep(BASE, {"static": {}}, "static", sweep=axis), [1, 2])
    names = list(grid(config, tmp_path).reported())
    assert names == ["static", "epochs_1@0.2x", "epochs_1@0.3x", "epochs_2@0.2x", "epochs_2@0.3x"]
    assert row_text(config, "epochs_2@0.3x", "title", "") == "epochs 2 0.3x"
    assert {row_text(config, name, "curve", "") for name in names[1:]} == {"epochs 1", "epochs 2"}
