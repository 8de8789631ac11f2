"""Constant decisions: a plan that is made once, and a CUDA graph that holds it."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.encoders.adamtl.runtime.selection import Wanted
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures a CUDA graph")
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_graph_holds_constant_decisions(kind: str) -> None:
    pair = pair_of(kind)
    image, decisions = pair.draw(3, (64, 96), 5)
    pair.runtime.cuda()
    still, moved = image.cuda(), {name: value.cuda() for name, value in decisions.items()}
    fixed, stream, graph = pair.runtime.fixed(moved, still), torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        fixed(still)  # what is made once per size
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph):
        outputs = fixed(still)["first"]
    still.copy_(torch.randn_like(still))
    graph.replay()
    for left, right in zip(outputs, pair.runtime(still, moved)["first"], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)
