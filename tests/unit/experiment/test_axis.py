"""A sweep's config: what it expands to, and what it refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.comparison import row_experiments
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.config.sweep import Sweep, expand

CONTENT: dict[str, Any] = {
    "reference": "single_task",
    "base": {
        "data": {"name": "rooms", "size": "tiny"},
        "encoder": {"name": "hard_sharing"},
        "train": {"epochs": 2, "optimizer": {"name": "adam", "lr": 0.5}},
    },
    "rows": {"single_task": {"encoder": {"name": "single_task"}}},
    "sweep": {
        "row": {"title": "Cross-stitch", "encoder": {"name": "cross_stitch", "other": 0.2}},
        "key": "encoder.own",
        "values": [0.4, 0.6],
    },
}


def made(**changes: Any) -> Sweep:
    content = copy.deepcopy(CONTENT)
    for key, value in changes.items():
        if value is None:
            del content["sweep"][key]
        else:
            content["sweep"][key] = value
    return parse(Sweep, content, "sweep")


def expanded(drawn: list[Any], **changes: Any) -> dict[str, dict[str, Any]]:
    return expand(made(**changes), drawn).rows


def test_every_value_becomes_a_row_on_the_curve() -> None:
    rows = expanded([0.4, 0.6])
    assert list(rows) == ["single_task", "cross_stitch_0_4", "cross_stitch_0_6"]
    assert rows["cross_stitch_0_6"]["title"] == "Cross-stitch 0.6"
    assert {rows[name]["curve"] for name in list(rows)[1:]} == {"Cross-stitch"}
    assert "curve" not in rows["single_task"]
    assert expanded([0.4], curve="ours")["cross_stitch_0_4"]["curve"] == "ours"


def test_a_point_differs_from_its_row_in_the_key_alone() -> None:
    comparison = expand(made(), [0.4, 0.6])
    first, second = list(row_experiments(comparison, 3).values())[1:]
    assert first.encoder == {"name": "cross_stitch", "other": 0.2, "own": 0.4}
    assert second.encoder == {**first.encoder, "own": 0.6}
    assert first.train == second.train
    assert (first.train.epochs, first.seed) == (2, 3)


def test_a_key_may_lie_deeper_and_in_the_base() -> None:
    comparison = expand(made(key="train.optimizer.lr", values=[1e-3]), [1e-3])
    point = row_experiments(comparison, 0)["cross_stitch_0_001"]
    assert point.train.optimizer == {"name": "adam", "lr": 1e-3}
    assert point.train.epochs == 2


def test_texts_are_values_too_and_names_stay_unique() -> None:
    rows = expanded(["0.4x", "0-4x"], values=["0.4x", "0-4x"], row={"title": "single task"}, key="backbone.model")
    assert list(rows) == ["single_task", "single_task_0_4x", "single_task_0_4x_2"]
    assert rows["single_task_0_4x"]["title"] == "single task 0.4x"


def test_points_of_a_range_stand_in_order_and_keep_their_names() -> None:
    span = {"values": None, "low": 0.1, "high": 0.9, "trials": 3}
    rows = expanded([0.5, 0.50000001, 0.2], **span)
    assert list(rows) == ["single_task", "cross_stitch_0_2", "cross_stitch_0_5", "cross_stitch_0_5_2"]
    assert rows["cross_stitch_0_5_2"]["encoder"]["own"] == 0.50000001


def test_whole_numbers_make_a_range_of_whole_numbers() -> None:
    assert made(values=None, low=1, high=4, trials=2).sweep.limits() == (1, 4)
    limits = made(values=None, low=0, high=1.0, trials=2).sweep.limits()
    assert [type(limit) for limit in limits] == [float, float]
    assert made(values=None, low="1e-3", high="1e-1", trials=2).sweep.limits() == (0.001, 0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kee": 1}, "Did you mean 'key'"),
        ({"key": None}, "lacks key"),
        ({"values": []}, "empty"),
        ({"values": [0.4, 0.4]}, "more than once"),
        ({"values": [[0.4]]}, "number, a text"),
        ({"values": None}, "'low', 'high' and 'trials'"),
        ({"trials": 3}, "drop trials"),
        ({"log": True}, "drop log"),
        ({"values": None, "low": 0.5, "high": 0.5, "trials": 2}, "low below high"),
        ({"values": None, "low": 0.1, "high": 0.5}, "'low', 'high' and 'trials'"),
        ({"values": None, "low": 0.1, "high": 0.5, "trials": 0}, "trials of 'sweep' must be above 0"),
        ({"values": None, "low": 0.0, "high": 0.5, "trials": 2, "log": True}, "low of 'sweep'"),
        ({"row": {"title": ["a"]}}, "must be a text"),
        ({"key": "encodr.own"}, "Did you mean 'encoder'"),
        ({"key": "seed"}, "unknown section"),
        ({"key": "encoder.name"}, "rows of their own"),
        ({"key": "augmentation.hflip"}, "not a section"),
        ({"key": "train.optimizer.lr.more"}, "'lr' of the row is 0.5"),
        ({"row": {"encodr": {}}}, "row of 'sweep'"),
        ({"grid": {"encoder.own": [0.4]}}, "drop key"),
        ({"key": None, "grid": {"encoder.own": [0.4]}}, "drop values"),
    ],
    ids=str,
)
def test_mistakes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        expand(made(**changes), [0.4])


def test_the_reference_is_a_fixed_row() -> None:
    config = made()
    config.reference = "cross_stitch_0_4"
    with pytest.raises(UserError, match="fixed row as reference"):
        expand(config, [0.4])
