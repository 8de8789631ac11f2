"""AdaShare's penalties by numbers worked by hand."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from frugalmtl.encoders.adashare.penalties import repeated_share, sharing_penalty, sparsity_penalty

LOG3 = math.log(3.0)  # logits (log 3, 0) run with probability 3/4


def logits(*rows: tuple[float, ...]) -> Tensor:
    """Run logits by task; all skip logits are 0."""
    return torch.stack([torch.stack([torch.tensor(row), torch.zeros(len(row))], dim=-1) for row in rows]).double()


def test_sparsity_as_coded_is_the_mean_cross_entropy_towards_skipping() -> None:
    two = logits((LOG3, 0.0), (-LOG3, LOG3))
    expected = (math.log(4) + math.log(2)) / 2 + (math.log(4 / 3) + math.log(4)) / 2
    assert float(sparsity_penalty(two, 2, "code")) == pytest.approx(expected)


def test_sparsity_covers_open_blocks_alone() -> None:
    three = logits((5.0, LOG3, 0.0))
    assert float(sparsity_penalty(three, 2, "code")) == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert float(sparsity_penalty(three, 1, "code")) == pytest.approx(math.log(2))
    assert float(sparsity_penalty(three, 2, "paper")) == pytest.approx(math.log(3 / 4) + math.log(1 / 2))


def test_deep_sparsity_weighs_by_depth() -> None:
    four = logits((9.0, 0.0, LOG3, -LOG3))
    terms = [math.log(2), math.log(4), math.log(4 / 3)]
    expected = sum(2 * (number + 1) / 3 * term for number, term in enumerate(terms)) / 3
    assert float(sparsity_penalty(four, 3, "code_deep")) == pytest.approx(expected)


def test_sparsity_as_published_has_no_lower_bound_and_pushes_skipped_blocks_on() -> None:
    slopes = {}
    for form in ("code", "paper"):
        for size in (-20.0, 20.0):
            one = logits((size,)).requires_grad_()
            penalty = sparsity_penalty(one, 1, form)  # type: ignore[arg-type]
            slopes[form, size] = float(torch.autograd.grad(penalty, [one])[0][0, 0, 0])
    assert slopes["paper", -20.0] == pytest.approx(1.0)
    assert slopes["paper", 20.0] == pytest.approx(0.0, abs=1e-6)
    assert slopes["code", -20.0] == pytest.approx(0.0, abs=1e-6)
    assert slopes["code", 20.0] == pytest.approx(1.0)
    assert float(sparsity_penalty(logits((-1000.0,)), 1, "paper")) == pytest.approx(-1000.0)


def test_sharing_as_coded_weighs_late_blocks_on_raw_logits() -> None:
    three = logits((1.0, 0.0), (0.0, 0.0), (0.0, 4.0))
    assert float(sharing_penalty(three, 2, "code")) == pytest.approx((1 + 1) * 1 / 2 + (4 + 4) * 1.0)
    assert float(sharing_penalty(three, 1, "code")) == pytest.approx((1 + 1) * 1 / 2 + (4 + 4) * 1.0)


def test_sharing_as_published_weighs_early_blocks_on_probabilities() -> None:
    two = logits((LOG3, 0.0), (0.0, LOG3))
    assert float(sharing_penalty(two, 2, "paper")) == pytest.approx(1.0 * 0.25 + 0.5 * 0.25)


def test_repeated_share_by_hand() -> None:
    first, second = torch.tensor([0.5, 1.0, 1.0]).double(), torch.tensor([1.0, 1.0, 0.5]).double()
    macs, always = torch.tensor([4.0, 2.0, 6.0]).double(), torch.tensor([3.0, 0.0, 1.0, 4.0]).double()
    # They agree at block 0 with chance 1/2, at 1 surely, at 2 with chance 1/2.
    expected = 0.5 * (0 + 2 * 1) + 0.5 * (1 + 6 * 0.5) + 0.75 * 4
    assert float(repeated_share(first, second, macs, always)) == pytest.approx(expected / 20)


def test_repeated_share_is_the_expected_cost_of_what_runs_twice() -> None:
    torch.manual_seed(0)
    blocks = 4
    chances = torch.rand(2, blocks).double()
    macs, always = torch.rand(blocks).double(), torch.rand(blocks + 1).double()
    expected = 0.0
    for bits in product((0, 1), repeat=2 * blocks):
        pair = torch.tensor(bits).view(2, blocks)
        chance = float(torch.where(pair == 1, chances, 1 - chances).prod())
        twice = 0.0
        for block in range(blocks + 1):
            if not torch.equal(pair[0, :block], pair[1, :block]):
                twice += float(always[block])
                twice += float(macs[block]) if block < blocks and pair[:, block].all() else 0.0
        expected += chance * twice
    total = float(macs.sum() + always.sum())
    assert float(repeated_share(chances[0], chances[1], macs, always)) == pytest.approx(expected / total)


def test_prefix_sharing_prefers_late_and_cheap_disagreements() -> None:
    macs, always = torch.tensor([1.0, 1.0, 8.0, 1.0]).double(), torch.zeros(5).double()

    def penalty(first: tuple[float, ...], second: tuple[float, ...]) -> float:
        return float(sharing_penalty(logits(first, second), 4, "prefix", macs, always))

    on, off = 30.0, -30.0
    same = penalty((on, off, on, on), (on, off, on, on))
    early = penalty((on, on, on, on), (off, on, on, on))
    middle = penalty((on, on, on, on), (on, on, off, on))
    late = penalty((on, on, on, on), (on, on, on, off))
    assert same == pytest.approx(0.0, abs=1e-9)
    assert late == pytest.approx(0.0, abs=1e-9)
    assert early == pytest.approx(10 / 11)
    assert middle == pytest.approx(1 / 11)


def test_prefix_sharing_takes_blocks_that_are_not_open_for_run() -> None:
    macs, always = torch.ones(3).double(), torch.zeros(4).double()
    two = logits((5.0, -1.0, 2.0), (-5.0, 0.0, 1.0)).requires_grad_()
    penalty = sharing_penalty(two, 1, "prefix", macs, always)
    assert float(penalty.detach()) == pytest.approx(0.0, abs=1e-12)  # they differ at the last block at most
    (gradient,) = torch.autograd.grad(penalty, [two])
    assert (gradient[:, :2] == 0).all()


@pytest.mark.parametrize("form", ["code", "paper", "prefix"])
def test_sharing_of_one_task_is_nothing_with_a_gradient(form: str) -> None:
    one = logits((1.0, 2.0)).requires_grad_()
    penalty = sharing_penalty(one, 2, form, torch.ones(2), torch.ones(3))  # type: ignore[arg-type]
    penalty.backward()
    assert float(penalty.detach()) == 0.0
    assert one.grad is not None


def test_prefix_sharing_needs_the_cost_of_blocks() -> None:
    with pytest.raises(ValueError, match="multiply-adds"):
        sharing_penalty(logits((1.0,), (2.0,)), 1, "prefix")
