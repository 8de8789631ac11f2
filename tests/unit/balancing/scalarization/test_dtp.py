"""DTP: weights from scores."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from frugalmtl.balancing.scalarization.dtp import DTP
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Scores
from tests.support.balancing.scalar_losses import NAMES, assert_resumes_exactly, step
from tests.support.tiny_training import tasks

LOSSES = (2.0, 0.5, 0.1)


def scores(*values: float) -> Scores:
    """Primary metrics of the stand-in tasks: a share, an error, a share; beside another metric."""
    return {task.name: {task.primary: value, "other": 7.0} for task, value in zip(tasks(), values, strict=True)}


def weight(kpi: float, gamma: float = 1.0) -> float:
    return -((1 - kpi) ** gamma) * math.log(kpi)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_a_sequence_by_hand(gamma: float) -> None:
    balancer = DTP(tasks(), gamma=gamma, momentum=0.75)
    assert step(balancer, LOSSES) == [1.0, 1.0, 1.0]
    balancer.end_epoch({}, scores(0.2, 3.0, 0.5))
    assert step(balancer, LOSSES) == pytest.approx([weight(k, gamma) for k in (0.2, 0.5, 0.5)], rel=1e-5)
    balancer.end_epoch({}, scores(0.6, 1.0, 0.5))
    averaged = (0.75 * 0.6 + 0.25 * 0.2, 0.75 * (3 / (3 + 1)) + 0.25 * 0.5, 0.5)
    assert step(balancer, LOSSES) == pytest.approx([weight(k, gamma) for k in averaged], rel=1e-5)
    balancer.end_epoch({}, scores(0.7, 9.0, 0.9))
    again = (0.75 * 0.7 + 0.25 * averaged[0], 0.75 * (3 / (3 + 9)) + 0.25 * averaged[1], 0.75 * 0.9 + 0.25 * 0.5)
    assert step(balancer, LOSSES) == pytest.approx([weight(k, gamma) for k in again], rel=1e-5)


def test_facts() -> None:
    assert DTP.needs_scores
    assert DTP.scale == "free"
    assert [task.higher_is_better for task in tasks()] == [True, False, True]


def test_measures_are_kept_away_from_0_and_1() -> None:
    balancer = DTP(tasks(), smallest=0.01)
    balancer.end_epoch({}, scores(0.0, 0.0, 1.0))
    assert step(balancer, LOSSES) == pytest.approx([weight(0.01), weight(0.99), weight(0.99)], rel=1e-4)


def test_an_error_of_0_at_the_start_stays_the_reference() -> None:
    balancer = DTP(tasks(), momentum=1.0, smallest=0.01)
    balancer.end_epoch({}, scores(0.5, 0.0, 0.5))
    balancer.end_epoch({}, scores(0.5, 2.0, 0.5))
    assert step(balancer, LOSSES)[1] == pytest.approx(weight(0.01), rel=1e-4)


def test_what_is_not_scored_changes_nothing() -> None:
    balancer = DTP(tasks(), momentum=1.0)
    balancer.end_epoch({}, None)
    assert step(balancer, LOSSES) == [1.0, 1.0, 1.0]
    balancer.end_epoch({}, {NAMES[0]: scores(0.4, 1.0, 1.0)[NAMES[0]]})
    assert step(balancer, LOSSES) == pytest.approx([weight(0.4), 1.0, 1.0], rel=1e-5)
    balancer.end_epoch({}, scores(math.nan, math.nan, 0.3))
    assert step(balancer, LOSSES) == pytest.approx([weight(0.4), 1.0, weight(0.3)], rel=1e-5)
    assert step(balancer, (0.0, 0.0, 0.0)) == step(balancer, LOSSES)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((43.2, 1.0, 0.5), "needs scores in .0, 1., but 'miou' of task 'segmentation' is 43.2"),
        ((-0.1, 1.0, 0.5), "needs scores in"),
        ((0.4, -1.0, 0.5), "needs errors of 0 or more, but 'rmse' of task 'depth' is -1"),
    ],
)
def test_scores_in_another_unit_are_refused(values: tuple[float, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DTP(tasks()).end_epoch({}, scores(*values))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("gamma", -1.0),
        ("gamma", math.nan),
        ("gamma", math.inf),
        ("momentum", math.nan),
        ("momentum", 0.0),
        ("momentum", 1.1),
        ("smallest", 0.0),
        ("smallest", 0.5),
    ],
)
def test_options_are_checked(option: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{option} of dtp must"):
        DTP(tasks(), **{option: value})


def test_fixed_weights_go_before_and_weights_are_rescaled_on_demand() -> None:
    balancer = DTP(tasks(), weights={"depth": 5.0, "edges": 1.0}, normalise="sum")
    balancer.end_epoch({}, scores(0.2, 3.0, 0.9))
    raw = [weight(k) for k in (0.2, 0.5, 0.9)]
    expected = [3 * value / sum(raw) * fixed for value, fixed in zip(raw, (1, 5, 1), strict=True)]
    assert step(balancer, LOSSES) == pytest.approx(expected, rel=1e-5)


def test_the_direction_is_the_tasks_own() -> None:
    turned = [replace(task, higher_is_better=not task.higher_is_better) for task in tasks()]
    balancer = DTP(turned)
    balancer.end_epoch({}, scores(0.2, 0.3, 0.4))
    assert step(balancer, LOSSES) == pytest.approx([weight(0.5), weight(0.3), weight(0.5)], rel=1e-5)


def evaluate(model: nn.Module) -> Scores:
    """Scores that follow the weights."""
    size = sum(float(parameter.detach().abs().mean()) for parameter in model.parameters())
    return scores(math.exp(-size), size, 1 - math.exp(-size))


def test_a_resumed_run_goes_on_exactly(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    balancer = assert_resumes_exactly(tmp_path, "dtp", [2, 5, 10, 12], evaluate=evaluate, evaluate_every=1)
    assert isinstance(balancer, DTP)
    assert 1.0 not in step(balancer, LOSSES)
