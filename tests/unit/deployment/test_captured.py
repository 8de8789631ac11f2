"""Captured models: what is refused, and the fixed memory that passes go through."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.deployment import CapturedModel, CapturedPass, captured, deploy
from frugalmtl.evaluation.cost import decides
from tests.support.gated import SIDE, toy_model


class Doubling(nn.Module):
    """The double of its input, into memory of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, image: Tensor) -> Tensor:
        self.passes += 1
        return 2 * image


class StandIn:
    """In place of a CUDA graph: a replay computes the outputs again from the captured input, into the same memory."""

    captured: Any = None

    @torch.inference_mode()
    def replay(self) -> None:
        self.captured.outputs.copy_(2 * self.captured.image)


@pytest.fixture
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU tensors count as those of a GPU, and a graph is the stand-in."""

    @contextlib.contextmanager
    def block(_: object) -> Iterator[None]:
        yield

    class Stream:
        def wait_stream(self, _: object) -> None:
            pass

    monkeypatch.setattr(captured, "device_of", lambda _: torch.device("cuda"))
    for name, value in (("Stream", Stream), ("current_stream", Stream), ("CUDAGraph", StandIn)):
        monkeypatch.setattr(torch.cuda, name, value)
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, block)


@pytest.mark.usefixtures("pretended_gpu")
def test_passes_replay_and_the_module_does_not_run_again() -> None:
    module = Doubling()
    one = CapturedPass(module, torch.ones(2, 3, 4, 4))
    one.graph.captured = one
    passes = module.passes
    first = one(torch.full((2, 3, 4, 4), 3.0))
    assert first.eq(6).all()
    second = one(torch.full((2, 3, 4, 4), 5.0))
    assert second.eq(10).all()
    assert first is second, "outputs are fixed memory"
    assert module.passes == passes
    assert not one.state_dict(), "weights and input belong to others"


@pytest.mark.usefixtures("pretended_gpu")
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 3, 4, 8)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    one = CapturedPass(Doubling(), torch.ones(2, 3, 4, 4))
    with pytest.raises(UserError, match=r"captured for images \[2, 3, 4, 4\], but got"):
        one(torch.ones(shape))


def test_a_cpu_has_no_graphs() -> None:
    with pytest.raises(UserError, match="captured on a GPU, but the device is cpu"):
        CapturedPass(Doubling(), torch.ones(1, 3, 4, 4))
    with pytest.raises(UserError, match="captured on a GPU, but the device is cpu"):
        deploy(toy_model("hard_sharing"), graph=True, example=torch.randn(1, 3, *SIDE))


@pytest.mark.usefixtures("pretended_gpu")
def test_modules_that_decide_by_values_are_refused() -> None:
    class Deciding(Doubling):
        data_dependent = True

    assert decides(Deciding())
    with pytest.raises(UserError, match="chooses for each image what it runs, which a CUDA graph cannot"):
        CapturedPass(Deciding(), torch.ones(1, 3, 4, 4))


def test_devices_that_are_not_there() -> None:
    model = toy_model("hard_sharing")
    with pytest.raises(UserError, match="device must be one of torch's"):
        deploy(model, device="fast")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="needs a GPU, but torch sees none"):
            deploy(model, device="cuda")


def test_the_device_of_the_result() -> None:
    model = toy_model("hard_sharing")
    assert next(deploy(model, device="cpu").parameters()).device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures a CUDA graph")
@pytest.mark.parametrize("name", ["hard_sharing", "interrogate"])
def test_a_captured_model_predicts_what_the_plain_one_does(name: str) -> None:
    model, images = toy_model(name), torch.randn(2, 3, *SIDE)
    graph = deploy(model, device="cuda", graph=True, example=images)
    assert isinstance(graph, CapturedModel)
    other = torch.randn(2, 3, *SIDE)
    with torch.inference_mode():
        expected = {task: value.cpu() for task, value in deploy(model)(other).items()}
        for task, value in graph(other).items():
            torch.testing.assert_close(value.cpu(), expected[task], rtol=1e-3, atol=1e-3)
    with pytest.raises(UserError, match="captured for images"):
        graph(other[:1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the device is refused first where there is no GPU")
def test_a_graph_needs_an_example() -> None:
    with pytest.raises(UserError, match="give example"):
        deploy(toy_model("hard_sharing"), device="cuda", graph=True)
