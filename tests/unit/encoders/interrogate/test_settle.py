"""Final gates: good widths, at the cost that was asked for, and as few flips as that needs."""

from __future__ import annotations

import numpy as np
import pytest

from frugalmtl.encoders.interrogate.settle import Block, rounded, settle


def blocks_of(widths: list[int], multiple: int) -> list[Block]:
    starts = np.cumsum([0, *widths[:-1]]).tolist()
    return [Block(start, width, multiple) for start, width in zip(starts, widths, strict=True)]


def widths_in(own: np.ndarray, block: Block) -> tuple[list[int], int]:
    part = own[:, block.start : block.start + block.width]
    return part.sum(1).tolist(), block.width - int(part.all(0).sum())


def good(count: int, block: Block) -> bool:
    return count in (0, block.width) or count % block.multiple == 0


def test_widths_that_are_good() -> None:
    block = Block(0, 20, 8)
    assert [count for count in range(21) if block.allowed(count)] == [0, 8, 16, 20]
    assert [block.nearest(count) for count in (0, 3, 5, 11, 13, 17, 19, 20)] == [0, 0, 8, 8, 16, 16, 20, 20]


@pytest.mark.parametrize("tasks", [2, 3, 5])
@pytest.mark.parametrize("seed", range(15))
def test_rounding_gives_good_widths(tasks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    blocks = blocks_of([64, 16, 32, 8, 48], 8)
    scores = random.normal(size=(tasks, 168)) + random.normal(size=(tasks, 1)) + np.repeat(random.normal(size=3), 56)
    own = rounded(scores, blocks)
    for block in blocks:
        mine, shared = widths_in(own, block)
        assert all(good(count, block) for count in mine)
        assert good(shared, block), (mine, shared)


@pytest.mark.parametrize("seed", range(15))
def test_rounding_flips_the_nearest_gates(seed: int) -> None:
    """In every layer a task keeps the gates of its highest scores, unless the shared width needs a swap."""
    random = np.random.default_rng(seed)
    blocks = blocks_of([24, 32], 8)
    scores = random.normal(size=(3, 56))
    own, plain = rounded(scores, blocks), scores > 0
    for block in blocks:
        part = slice(block.start, block.start + block.width)
        for mine, before, line in zip(own[:, part], plain[:, part], scores[:, part], strict=True):
            count = int(mine.sum())
            assert abs(count - int(before.sum())) <= 4
            best = np.zeros_like(mine)
            best[np.argsort(-line)[:count]] = True
            assert int((best != mine).sum()) <= 2 * 7


def test_rounding_of_one_layer_spelled_out() -> None:
    scores = np.array([[4.0, 3.0, 2.0, -0.1, -5.0, -6.0, -7.0, -8.0]])
    assert rounded(scores, [Block(0, 8, 4)]).astype(int).tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]]
    assert rounded(-scores, [Block(0, 8, 4)]).astype(int).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]
    assert rounded(scores, [Block(0, 8, 1)]).tolist() == (scores > 0).tolist(), "any width is good"
    assert not rounded(scores - 10, [Block(0, 8, 4)]).any()
    assert rounded(scores + 10, [Block(0, 8, 4)]).all()


def test_the_shared_width_is_good_too() -> None:
    """Both tasks own four of eight channels; three of them in common would leave five to the shared branch."""
    scores = np.array(
        [
            [5.0, 5.0, 5.0, 1.0, -0.5, -5.0, -5.0, -5.0],
            [5.0, 5.0, 5.0, -0.6, 1.0, -5.0, -5.0, -5.0],
        ]
    )
    own = rounded(scores, [Block(0, 8, 4)])
    assert own.sum(1).tolist() == [4, 4]
    assert int((~own.all(0)).sum()) == 4
    assert own[:, :3].all(), "what is sure stays"


def cost_of(macs: np.ndarray, beside: float = 0.0):  # type: ignore[no-untyped-def]
    return lambda own: float((macs * (own.sum(0) + 1 - own.all(0))).sum()) + beside


@pytest.mark.parametrize("multiple", [1, 4, 8])
@pytest.mark.parametrize("seed", range(8))
def test_settling_meets_the_target_with_good_widths(multiple: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    widths = [32, 64, 64, 128, 32, 64, 128, 64]
    blocks = blocks_of(widths, multiple)
    alpha = 0.1 * random.normal(size=(3, sum(widths)))
    macs = np.repeat(random.uniform(0.5, 4.0, len(widths)), widths)
    exact = cost_of(macs, beside=float(random.uniform(0, 300)))
    least, full = exact(np.zeros(alpha.shape, dtype=bool)), exact(np.ones(alpha.shape, dtype=bool))
    target = float(random.uniform(least + 0.1 * (full - least), full))
    own = settle(alpha, macs / macs.mean(), blocks, exact, target)
    assert exact(own) == pytest.approx(target, rel=0.0031)
    for block in blocks:
        mine, shared = widths_in(own, block)
        assert all(good(count, block) for count in mine)
        assert good(shared, block), (mine, shared)


@pytest.mark.parametrize("end", ["least", "full"])
@pytest.mark.parametrize("multiple", [1, 8])
def test_settling_at_both_ends(end: str, multiple: int) -> None:
    random = np.random.default_rng(0)
    alpha, macs = random.normal(size=(2, 48)), np.repeat([1.0, 2.0, 3.0], 16)
    exact, wanted = cost_of(macs), np.full((2, 48), end == "full")
    own = settle(alpha, macs / macs.mean(), blocks_of([16, 16, 16], multiple), exact, exact(wanted))
    assert exact(own) == pytest.approx(exact(wanted), rel=0.003)
    if end == "least":
        assert not own.any()


def test_settling_gates_that_were_decided_changes_nothing() -> None:
    """What a run decided stands when it is asked again."""
    random = np.random.default_rng(1)
    alpha, macs = random.normal(size=(2, 96)), np.repeat([1.0, 2.0, 3.0], 32)
    exact, blocks = cost_of(macs), blocks_of([32, 32, 32], 8)
    own = settle(alpha, macs / 2.0, blocks, exact, 300.0)
    again = settle(np.where(own, 1.0, -1.0) * np.abs(alpha), macs / 2.0, blocks, exact, 300.0)
    assert exact(again) == pytest.approx(exact(own), rel=0.006)


def test_settling_keeps_what_is_worth_most() -> None:
    """Without rounding: the open gates are those above one price per cost."""
    random = np.random.default_rng(2)
    alpha, macs = random.normal(size=(1, 60)), np.repeat([1.0, 4.0], 30)
    exact = lambda own: float((macs * own).sum())  # noqa: E731
    own = settle(alpha, macs / macs.mean(), blocks_of([30, 30], 1), exact, 60.0)
    worth = (alpha / macs)[0]
    assert exact(own) == pytest.approx(60.0, abs=4.0)
    swapped = [pair for pair in np.argwhere(own[0]).ravel() if worth[pair] < np.sort(worth[~own[0]])[-3]]
    assert len(swapped) <= 3


def test_settling_gates_that_are_all_alike() -> None:
    """As they are before anything was learned: both tasks own the same channels."""
    exact = cost_of(np.ones(32))
    own = settle(np.full((2, 32), 0.01), np.ones(32), blocks_of([16, 16], 8), exact, 50.0)
    assert exact(own) == pytest.approx(50.0, abs=4.0)
