"""Rounded gates: good widths, at the cost of a budget, with as few flips as that needs."""

from __future__ import annotations

import numpy as np
import pytest

from frugalmtl.encoders.interrogate.budget.rounding import GateGroup, rounded, rounded_to_cost


def groups_of(widths: list[int], multiple: int) -> list[GateGroup]:
    starts = np.cumsum([0, *widths[:-1]]).tolist()
    return [GateGroup(start, width, multiple) for start, width in zip(starts, widths, strict=True)]


def widths_in(private: np.ndarray, group: GateGroup) -> tuple[list[int], int]:
    part = private[:, group.start : group.start + group.width]
    return part.sum(1).tolist(), group.width - int(part.all(0).sum())


def good(count: int, group: GateGroup) -> bool:
    return count in (0, group.width) or count % group.multiple == 0


def test_widths_that_are_good() -> None:
    group = GateGroup(0, 20, 8)
    assert [count for count in range(21) if group.allowed(count)] == [0, 8, 16, 20]
    assert [group.nearest(count) for count in (0, 3, 5, 11, 13, 17, 19, 20)] == [0, 0, 8, 8, 16, 16, 20, 20]


@pytest.mark.parametrize("tasks", [2, 3, 5])
@pytest.mark.parametrize("seed", range(15))
def test_rounding_gives_good_widths(tasks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = groups_of([64, 16, 32, 8, 48], 8)
    scores = random.normal(size=(tasks, 168)) + random.normal(size=(tasks, 1)) + np.repeat(random.normal(size=3), 56)
    private = rounded(scores, groups)
    for group in groups:
        kept, shared = widths_in(private, group)
        assert all(good(count, group) for count in kept)
        assert good(shared, group), (kept, shared)


@pytest.mark.parametrize("seed", range(15))
def test_rounding_flips_the_nearest_gates(seed: int) -> None:
    """In every layer a task keeps the gates of its highest scores, unless the shared width needs a swap."""
    random = np.random.default_rng(seed)
    groups = groups_of([24, 32], 8)
    scores = random.normal(size=(3, 56))
    private, plain = rounded(scores, groups), scores > 0
    for group in groups:
        part = slice(group.start, group.start + group.width)
        for kept, before, line in zip(private[:, part], plain[:, part], scores[:, part], strict=True):
            count = int(kept.sum())
            assert abs(count - int(before.sum())) <= 4
            best = np.zeros_like(kept)
            best[np.argsort(-line)[:count]] = True
            assert int((best != kept).sum()) <= 2 * 7


def test_rounding_of_one_layer_spelled_out() -> None:
    scores = np.array([[4.0, 3.0, 2.0, -0.1, -5.0, -6.0, -7.0, -8.0]])
    assert rounded(scores, [GateGroup(0, 8, 4)]).astype(int).tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]]
    assert rounded(-scores, [GateGroup(0, 8, 4)]).astype(int).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]
    assert rounded(scores, [GateGroup(0, 8, 1)]).tolist() == (scores > 0).tolist(), "any width is good"
    assert not rounded(scores - 10, [GateGroup(0, 8, 4)]).any()
    assert rounded(scores + 10, [GateGroup(0, 8, 4)]).all()


def test_the_shared_width_is_good_too() -> None:
    """Both tasks private four of eight channels; three of them in common would leave five to the shared branch."""
    scores = np.array(
        [
            [5.0, 5.0, 5.0, 1.0, -0.5, -5.0, -5.0, -5.0],
            [5.0, 5.0, 5.0, -0.6, 1.0, -5.0, -5.0, -5.0],
        ]
    )
    private = rounded(scores, [GateGroup(0, 8, 4)])
    assert private.sum(1).tolist() == [4, 4]
    assert int((~private.all(0)).sum()) == 4
    assert private[:, :3].all(), "what is sure stays"


def cost_of(macs: np.ndarray, beside: float = 0.0):  # type: ignore[no-untyped-def]
    return lambda private: float((macs * (private.sum(0) + 1 - private.all(0))).sum()) + beside


@pytest.mark.parametrize("multiple", [1, 4, 8])
@pytest.mark.parametrize("seed", range(8))
def test_settling_meets_the_target_with_good_widths(multiple: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    widths = [32, 64, 64, 128, 32, 64, 128, 64]
    groups = groups_of(widths, multiple)
    alpha = 0.1 * random.normal(size=(3, sum(widths)))
    macs = np.repeat(random.uniform(0.5, 4.0, len(widths)), widths)
    exact = cost_of(macs, beside=float(random.uniform(0, 300)))
    least, full = exact(np.zeros(alpha.shape, dtype=bool)), exact(np.ones(alpha.shape, dtype=bool))
    target = float(random.uniform(least + 0.1 * (full - least), full))
    private = rounded_to_cost(alpha, macs / macs.mean(), groups, exact, target)
    assert exact(private) == pytest.approx(target, rel=0.0031)
    for group in groups:
        kept, shared = widths_in(private, group)
        assert all(good(count, group) for count in kept)
        assert good(shared, group), (kept, shared)


@pytest.mark.parametrize("end", ["least", "full"])
@pytest.mark.parametrize("multiple", [1, 8])
def test_settling_at_both_ends(end: str, multiple: int) -> None:
    random = np.random.default_rng(0)
    alpha, macs = random.normal(size=(2, 48)), np.repeat([1.0, 2.0, 3.0], 16)
    exact, wanted = cost_of(macs), np.full((2, 48), end == "full")
    private = rounded_to_cost(alpha, macs / macs.mean(), groups_of([16, 16, 16], multiple), exact, exact(wanted))
    assert exact(private) == pytest.approx(exact(wanted), rel=0.003)
    if end == "least":
        assert not private.any()


def test_settling_gates_that_were_decided_changes_nothing() -> None:
    """What a run decided stands when it is asked again."""
    random = np.random.default_rng(1)
    alpha, macs = random.normal(size=(2, 96)), np.repeat([1.0, 2.0, 3.0], 32)
    exact, groups = cost_of(macs), groups_of([32, 32, 32], 8)
    private = rounded_to_cost(alpha, macs / 2.0, groups, exact, 300.0)
    again = rounded_to_cost(np.where(private, 1.0, -1.0) * np.abs(alpha), macs / 2.0, groups, exact, 300.0)
    assert exact(again) == pytest.approx(exact(private), rel=0.006)


@pytest.mark.parametrize("seed", range(5))
def test_settling_keeps_what_is_worth_most(seed: int) -> None:
    """Without rounding: no less worth is kept than by gates that close one by one, in the order of worth per cost."""
    random = np.random.default_rng(seed)
    alpha, macs = random.random(size=(3, 60)), np.repeat([1.0, 4.0], 30)
    exact = cost_of(macs)
    private = rounded_to_cost(alpha, macs / macs.mean(), groups_of([30, 30], 1), exact, 300.0)
    assert exact(private) == pytest.approx(300.0, abs=4.0)
    worth = alpha / macs
    alone = next(gates for price in np.sort(worth.ravel()) if exact(gates := worth > price) <= exact(private))
    assert alpha[private].sum() >= alpha[alone].sum()


def test_settling_gates_that_are_all_alike() -> None:
    """As they are before anything was learned: both tasks private the same channels."""
    exact = cost_of(np.ones(32))
    private = rounded_to_cost(np.full((2, 32), 0.01), np.ones(32), groups_of([16, 16], 8), exact, 50.0)
    assert exact(private) == pytest.approx(50.0, abs=4.0)
