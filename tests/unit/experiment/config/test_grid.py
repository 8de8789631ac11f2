"""A sweep over several keys: its combinations, their names and curves, and what it refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.axis import Axis
from frugalmtl.experiment.config.comparison import row_experiments
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.config.sweep import Sweep, expand

TASKS = ("segmentation", "depth", "normals")
TAU = {f"encoder.tau.{task}": [0.25, 0.75] for task in TASKS[:2]}
CONTENT: dict[str, Any] = {
    "reference": "single_task",
    "base": {"data": {"name": "rooms", "size": "tiny"}, "tasks": list(TASKS), "train": {"epochs": 2}},
    "rows": {"single_task": {"encoder": {"name": "single_task"}}},
    "sweep": {
        "row": {"title": "Gates, tau of", "encoder": {"name": "interrogate", "tau": dict.fromkeys(TASKS, 0.0)}},
        "grid": TAU,
    },
}


def sweep_of(grid: dict[str, Any], **changes: Any) -> Sweep:
    content = copy.deepcopy(CONTENT) | changes
    content["sweep"] = {**content["sweep"], "grid": grid}
    return parse(Sweep, content, "sweep")


def rows_of(config: Sweep) -> dict[str, dict[str, Any]]:
    comparison = expand(config, config.sweep.places or [])
    return {name: changes or {} for name, changes in comparison.rows.items() if name not in config.rows}


def test_every_combination_is_a_row_that_differs_in_its_keys_alone() -> None:
    config = sweep_of({**TAU, "train.epochs": [2, 4]})
    experiments = row_experiments(expand(config, config.sweep.places or []), 0)
    del experiments["single_task"]
    points = [(one.encoder["tau"]["segmentation"], one.encoder["tau"]["depth"], one.train.epochs)
              for one in experiments.values()]  # fmt: skip
    assert points == config.sweep.places
    assert len(set(points)) == config.sweep.count == 8
    assert {one.encoder["tau"]["normals"] for one in experiments.values()} == {0.0}
    assert {one.encoder["name"] for one in experiments.values()} == {"interrogate"}


def test_titles_name_keys_by_as_few_words_as_tell_them_apart() -> None:
    rows = rows_of(sweep_of(TAU))
    assert list(rows)[1] == "gates_tau_of_segmentation_0_25_depth_0_75"
    assert rows[list(rows)[1]]["title"] == "Gates, tau of segmentation 0.25, depth 0.75"
    axis = Axis(grid={"encoder.tau.depth": [0.5], "balancer.weights.depth": [2]})
    assert axis.text((0.5, 2)) == "tau.depth 0.5, weights.depth 2"
    assert Axis(grid={"a.b": [1], "c.a.b": [2]}).text((1, 2)) == "a.b 1, c.a.b 2"


def test_points_that_agree_in_the_key_of_their_colour_are_a_curve() -> None:
    by_first = expand(sweep_of(TAU), sweep_of(TAU).sweep.places or [])
    assert by_first.colour_by == "encoder.tau.segmentation"
    config = sweep_of(TAU, colour_by="encoder.tau.depth")
    rows = list(rows_of(config).values())
    assert list(rows_of(config)) == list(rows_of(sweep_of(TAU))), "another colour trains nothing again"
    assert {row["curve"] for row in rows} == {"Gates, tau of depth 0.25", "Gates, tau of depth 0.75"}
    assert all(row["title"].startswith(row["curve"]) for row in rows), "so that figures name a curve once"


def test_names_of_points_do_not_depend_on_the_others() -> None:
    long = {**TAU, "encoder.tau.normals": [0.25, 0.75], "train.optimizer.lr": [0.001, 0.002]}
    few, many = rows_of(sweep_of(long)), rows_of(sweep_of({**long, "encoder.tau.depth": [0.0, 0.25, 0.5, 0.75]}))
    assert len(few) == 16
    assert max(map(len, few)) <= 60
    assert {row["title"]: name for name, row in few.items()}.items() <= {
        row["title"]: name for name, row in many.items()
    }.items(), "a run of a smaller grid is found again"


def test_a_grid_of_one_key_is_a_sweep_of_it() -> None:
    rows = rows_of(sweep_of({"train.epochs": [2, 4]}))
    assert [row["train"]["epochs"] for row in rows.values()] == [2, 4]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "'grid' of 'sweep' is empty"),
        ({"encoder.tau.depth": []}, "'encoder.tau.depth' in the 'grid' of 'sweep' is empty"),
        ({"encoder.tau.depth": [0.5, 0.5]}, "holds 0.5 more than once"),
        ({"encoder.tau.depth": [[0.5]]}, "number, a text"),
        ({"encoder.tau": [0.5], "encoder.tau.depth": [0.5]}, "sets 'encoder.tau' as a whole and 'encoder.tau.depth'"),
        ({"encoder.tau.depth": [0.5], "encoder": [0.5]}, "sets 'encoder' as a whole"),
        ({"encodr.tau.depth": [0.5]}, "Did you mean 'encoder'"),
        ({"encoder.lambda_s.depth": [0.5]}, "'lambda_s' of the row is null, not a section"),
        ({"encoder.tau.depth": [0.5], "encoder.name": ["single_task"]}, "rows of their own"),
    ],
    ids=str,
)
def test_mistakes(grid: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        row_experiments(expand(sweep_of(grid), sweep_of(grid).sweep.places or []), 0)


def test_places_and_their_codes() -> None:
    axis = Axis(grid={"encoder.own": [0.4, 1], "backbone.model": ["a", None]})
    places = axis.places or []
    assert [axis.place_of(axis.code(place)) for place in places] == places
    assert all(isinstance(axis.code(place), str) for place in places)
    with pytest.raises(ValueError, match="no value of"):
        axis.place_of("[0.5, null]")
