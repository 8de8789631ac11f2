"""DWA: weights from the pace of the losses."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torchjd.scalarization import DWA as Reference  # noqa: N811

from frugalmtl.balancing.scalarization.dwa import DWA
from frugalmtl.core.checks import UserError
from tests.support.balancing.scalar_losses import NAMES, assert_resumes_exactly, step
from tests.support.tiny_training import tasks

LOSSES = (2.0, 0.5, 0.1)
EPOCHS = [(2.0, 1.0, 0.4), (1.0, 0.9, 0.4), (0.8, 0.3, 0.5), (0.1, 0.3, 0.2)]


def end(balancer: DWA, means: tuple[float, ...]) -> None:
    balancer.end_epoch(dict(zip(NAMES, means, strict=True)), None)


def by_hand(new: tuple[float, ...], old: tuple[float, ...], temperature: float) -> list[float]:
    terms = [math.exp(a / b / temperature) for a, b in zip(new, old, strict=True)]
    return [3 * term / sum(terms) for term in terms]


@pytest.mark.parametrize("temperature", [2.0, 0.5])
def test_a_sequence_by_hand(temperature: float) -> None:
    balancer = DWA(tasks(), temperature=temperature)
    assert step(balancer, LOSSES) == [1.0, 1.0, 1.0]
    end(balancer, EPOCHS[0])
    assert step(balancer, LOSSES) == [1.0, 1.0, 1.0]
    for old, new in pairwise(EPOCHS):
        end(balancer, new)
        assert step(balancer, LOSSES) == pytest.approx(by_hand(new, old, temperature), rel=1e-6)
    assert balancer.scale == "sum"


def test_the_reference_weighs_alike() -> None:
    balancer, reference = DWA(tasks()), Reference()
    for means in EPOCHS:
        values = torch.tensor(means, requires_grad=True)
        (gradient,) = torch.autograd.grad(reference(values), values)
        assert step(balancer, means) == pytest.approx(gradient.tolist(), rel=1e-6)
        reference.step()
        end(balancer, means)


def test_a_task_without_labels_keeps_the_pace_of_a_loss_that_stands_still() -> None:
    balancer = DWA(tasks())
    end(balancer, (2.0, 1.0, 0.0))
    end(balancer, (1.0, 1.0, 0.4))  # the third has no mean to compare with
    assert step(balancer, LOSSES) == pytest.approx(by_hand((1.0, 1.0, 1.0), (2.0, 1.0, 1.0), 2.0), rel=1e-6)
    balancer.end_epoch({NAMES[0]: 1.0, NAMES[2]: 0.2}, None)  # the second was never computed
    assert step(balancer, LOSSES) == pytest.approx(by_hand((1.0, 1.0, 0.5), (1.0, 1.0, 1.0), 2.0), rel=1e-6)
    assert step(balancer, (0.0, 0.0, 0.0)) == step(balancer, LOSSES)


def test_fixed_weights_go_before_and_do_not_change_the_pace() -> None:
    plain, weighted = DWA(tasks()), DWA(tasks(), weights={"depth": 3.0, "edges": 1.0}, normalise="mean")
    for means in EPOCHS[:2]:
        end(plain, means)
        end(weighted, means)
    expected = [weight * fixed / 3 for weight, fixed in zip(step(plain, LOSSES), (1, 3, 1), strict=True)]
    assert step(weighted, LOSSES) == pytest.approx(expected, rel=1e-6)


def test_the_temperature_is_checked() -> None:
    with pytest.raises(UserError, match="temperature of dwa must be above 0, but got 0"):
        DWA(tasks(), temperature=0.0)
    with pytest.raises(UserError, match="temperature of dwa must be finite, but got inf"):
        DWA(tasks(), temperature=float("inf"))


def test_a_resumed_run_goes_on_exactly(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    balancer = assert_resumes_exactly(tmp_path, "dwa", [3, 5, 11, 15])
    assert isinstance(balancer, DWA)
    assert step(balancer, LOSSES) != [1.0, 1.0, 1.0]
    assert sum(step(balancer, LOSSES)) == pytest.approx(3.0)
