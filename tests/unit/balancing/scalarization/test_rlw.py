"""RLW: a draw per step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchjd.scalarization import Random

from frugalmtl.balancing.scalarization import rlw
from frugalmtl.balancing.scalarization.rlw import RLW
from frugalmtl.core.checks import UserError
from tests.support.balancing.scalar_losses import assert_resumes_exactly, step
from tests.support.tiny_training import tasks

LOSSES = (2.0, 0.5, 0.1)
DRAWS = 4000


def draws(balancer: RLW) -> torch.Tensor:
    """Weights ``[DRAWS, T]``."""
    torch.manual_seed(0)
    return torch.tensor([step(balancer, LOSSES) for _ in range(DRAWS)], dtype=torch.float64)


def assert_same_mean(first: torch.Tensor, second: torch.Tensor) -> None:
    """Means of two samples within 4 standard errors of each other."""
    error = (first.var(dim=0) / len(first) + second.var(dim=0) / len(second)).sqrt()
    assert ((first.mean(dim=0) - second.mean(dim=0)).abs() < 4 * error).all()


def test_normal_draws_are_the_references() -> None:
    actual = draws(RLW(tasks()))
    values = torch.ones(3, dtype=torch.float64, requires_grad=True)
    reference = torch.stack([torch.autograd.grad(Random()(values), values)[0] for _ in range(DRAWS)])
    for power in (1, 2, 3):
        assert_same_mean(actual**power, reference**power)
    assert_same_mean(actual[:, :1] * actual[:, 1:2], reference[:, :1] * reference[:, 1:2])


def test_a_normal_draw_is_a_softmax() -> None:
    torch.manual_seed(3)
    actual = step(RLW(tasks()), LOSSES)
    torch.manual_seed(3)
    assert actual == pytest.approx(torch.softmax(torch.randn(3), dim=0).tolist())


def test_dirichlet_draws_have_its_moments() -> None:
    """Of three parameters 1: mean 1/3, second moment 2/12, product of two 1/12."""
    actual = draws(RLW(tasks(), form="dirichlet"))
    for values, expected in ((actual, 1 / 3), (actual**2, 1 / 6), (actual * actual.roll(1, dims=1), 1 / 12)):
        error = values.std(dim=0) / DRAWS**0.5
        assert ((values.mean(dim=0) - expected).abs() < 4 * error).all()


@pytest.mark.parametrize("form", ["normal", "dirichlet"])
def test_weights_are_positive_and_add_up(form: Any) -> None:
    for normalise, total in ((None, 1.0), ("mean", 1.0), ("sum", 3.0)):
        weights = step(RLW(tasks(), form=form, normalise=normalise), LOSSES)
        assert min(weights) > 0
        assert sum(weights) == pytest.approx(total)
    assert RLW(tasks()).scale == "mean"


def test_accumulated_batches_share_a_draw() -> None:
    balancer = RLW(tasks())
    actual = [step(balancer, LOSSES, last=last) for last in (False, False, True, True)]
    assert actual[0] == actual[1] == actual[2] != actual[3]


def test_the_first_process_draws_for_all(monkeypatch: Any) -> None:
    first = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    monkeypatch.setattr(rlw, "broadcast", lambda tensors: tensors[0].copy_(first))
    assert step(RLW(tasks()), LOSSES) == first.tolist()


def test_an_unlabelled_task_keeps_its_share() -> None:
    torch.manual_seed(0)
    expected = step(RLW(tasks()), LOSSES)
    torch.manual_seed(0)
    assert step(RLW(tasks()), (2.0, 0.0, 0.1)) == expected


def test_unknown_forms_are_refused() -> None:
    with pytest.raises(UserError, match="form of rlw must be one of 'normal', 'dirichlet', but got 'uniform'"):
        RLW(tasks(), form="uniform")  # type: ignore[arg-type]


def test_a_resumed_run_goes_on_exactly(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    assert_resumes_exactly(tmp_path, "rlw", [1, 4], accumulate=2, epochs=2)
