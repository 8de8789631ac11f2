"""AdaShare's policies: first logits, draws, temperature, history."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from frugalmtl.core.seeding import seed_everything
from frugalmtl.encoders.adashare.policy import ROWS, SURE, History, Policy, drawn_odds, temperature

TASKS = ("near", "far", "edge")


def policy(odds: list[list[float]] | None = None, blocks: int = 4) -> Policy:
    """With these log-odds by task."""
    result = Policy(TASKS[: len(odds)] if odds else TASKS, len(odds[0]) if odds else blocks, "equal")
    for row, task in zip(odds or [], TASKS, strict=False):
        with torch.no_grad():
            result.logits[task].copy_(torch.stack([torch.tensor(row), torch.zeros(len(row))], dim=-1))
    return result


def test_first_logits() -> None:
    equal, sure = Policy(TASKS, 5, "equal"), Policy(TASKS, 5, "all_run")
    assert equal.stacked().shape == (3, 5, 2)
    assert (equal.stacked() == 0.5).all()
    assert (equal.run_probability() == 0.5).all()
    assert (sure.stacked() == torch.tensor([0.0, -10.0])).all()
    seed_everything(0)
    spread = Policy(TASKS, 500, "random").stacked()
    assert 0.8e-3 < float(spread.detach().std()) < 1.2e-3


def test_column_0_is_run() -> None:
    likely = policy([[3.0, -3.0]])
    assert likely.run_probability()[0].tolist() == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(3))])
    assert likely.log_odds()[0].tolist() == [3.0, -3.0]


def test_draws_are_those_of_the_concrete_distribution() -> None:
    """P(draw > 1/2) is the softmax of the logits at any temperature; the draw itself is logistic noise on the odds."""
    drawing = policy([[1.0] * 4000])
    for tau in (5.0, 0.2):
        drawing.tau.fill_(tau)
        seed_everything(1)
        draws = drawing.sample(hard=False)
        assert float((draws > 0.5).double().mean()) == pytest.approx(1 / (1 + math.exp(-1)), abs=0.03)
        if tau > 1.0:  # else draws are so near to 0 and 1 that single precision does not tell
            noise = tau * torch.logit(draws.detach().double()) - 1.0
            assert float(noise.std()) == pytest.approx(math.pi / math.sqrt(3), rel=0.05)


def test_one_draw_a_task_follows_the_global_generator() -> None:
    drawing = policy(blocks=6)
    seed_everything(3)
    first, second = drawing.sample(hard=False), drawing.sample(hard=False)
    seed_everything(3)
    again = drawing.sample(hard=False)
    assert first.shape == (3, 6)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_hard_draws_are_0_or_1_with_the_gradient_of_soft_ones() -> None:
    drawing = policy(blocks=6)
    gradients = []
    for hard in (False, True):
        seed_everything(5)
        draws = drawing.sample(hard=hard)
        (gradient,) = torch.autograd.grad(draws.square().sum() if hard else draws.sum(), [drawing.logits["near"]])
        gradients.append(gradient)
    rounded = draws.detach().round()
    assert torch.allclose(draws, rounded, atol=1e-6)
    assert set(rounded.unique().tolist()) == {0.0, 1.0}
    # d(hard^2) = 2 hard d(soft): where a draw is 0 nothing, where it is 1 twice the soft gradient.
    assert torch.allclose(gradients[1], 2 * rounded[0, :, None] * gradients[0], atol=1e-6)


def test_temperature_cools_by_the_cycle() -> None:
    assert temperature(0) == 5.0
    assert temperature(1) == pytest.approx(4.825)
    assert temperature(100) == pytest.approx(0.14, abs=0.005)


def test_discrete_draws_run_every_block_with_its_probability() -> None:
    odds = torch.tensor([[0.0, 2.0, -2.0]]).repeat(4000, 1)
    policies = drawn_odds(odds, torch.Generator().manual_seed(0)) >= 0
    expected = torch.sigmoid(odds[0])
    assert torch.allclose(policies.float().mean(0), expected, atol=0.03)
    repeated = [drawn_odds(odds, torch.Generator().manual_seed(4)) for _ in range(2)]
    assert torch.equal(*repeated)


def test_sure_blocks_are_never_drawn_otherwise() -> None:
    odds = torch.full((100, 50), SURE) * torch.tensor([1.0, -1.0]).repeat(25)
    assert torch.equal(drawn_odds(odds, torch.Generator().manual_seed(0)) >= 0, odds >= 0)


def test_probabilities_become_logits_and_back() -> None:
    wanted = torch.tensor([[0.0, 0.25, 0.5, 1.0], [0.9, 0.1, 1.0, 0.0], [0.3, 0.3, 0.3, 0.3]])
    taking = policy(blocks=4)
    taking.set_probability(wanted)
    assert torch.allclose(taking.run_probability(), wanted, atol=1e-6)
    assert all(torch.isfinite(logits).all() for logits in taking.logits.values())


@pytest.mark.parametrize("cycles", [1, 5, ROWS, ROWS + 1, 200])
def test_history_keeps_evenly_spread_moments(cycles: int) -> None:
    history = History(2, 3)
    for cycle in range(cycles):
        for _ in range(2):  # a resumed run tells the same again
            history.record(cycle, torch.full((2, 3), float(cycle)))
    moments = history.moments()
    spacing = {second[0] - first[0] for first, second in pairwise(moments)}
    assert moments[0][0] == 0
    assert len(spacing) <= 1
    assert min(cycles, ROWS // 2) <= len(moments) <= ROWS
    assert cycles - moments[-1][0] <= max(spacing, default=1)
    assert all((values == cycle).all() for cycle, values in moments)


def test_rows_follow_the_order_of_the_tasks() -> None:
    ordered = policy([[1.0], [2.0], [3.0]])
    assert sorted(TASKS) != list(TASKS)
    assert ordered.log_odds()[:, 0].tolist() == [1.0, 2.0, 3.0]
    ordered.set_probability(torch.tensor([[0.1], [0.2], [0.3]]))
    assert ordered.run_probability()[:, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])
