"""Constant decisions: a plan that is made once, and a CUDA graph that holds it."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.deployment import CapturedPass
from frugalmtl.encoders.adamtl.runtime.selection import Wanted
from frugalmtl.evaluation.cost import decides
from tests.support.adamtl.runtime import pair_of

KINDS = ("swin_transformer", "vision_transformer")


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_plan_is_made_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of(kind).double()
    image, decisions = pair.draw(3, (64, 96), 5)
    expected = pair.runtime(image.double(), decisions)["first"]
    fixed = pair.runtime.fixed(decisions, image.double())

    def refuse(*_: object) -> None:
        raise AssertionError("a mask is read again")

    monkeypatch.setattr(Wanted, "selection", refuse)
    for left, right in zip(fixed(image.double())["first"], expected, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)


def test_constant_decisions_do_not_depend_on_values() -> None:
    pair = pair_of(KINDS[0])
    image, decisions = pair.draw(1, (64, 96), 5)
    assert decides(pair.runtime)
    assert not decides(pair.runtime.fixed(decisions, image))
    assert decides(pair.runtime), "the module itself goes on to decide"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures a CUDA graph")
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_graph_holds_constant_decisions(kind: str) -> None:
    pair = pair_of(kind)
    image, decisions = pair.draw(3, (64, 96), 5)
    pair.runtime.cuda()
    still, moved = image.cuda(), {name: value.cuda() for name, value in decisions.items()}
    captured = CapturedPass(pair.runtime.fixed(moved, still), still)
    still = torch.randn_like(still)
    outputs = captured(still)["first"]
    for left, right in zip(outputs, pair.runtime(still, moved)["first"], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)
