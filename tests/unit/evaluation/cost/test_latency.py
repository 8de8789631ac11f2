"""The order of the measurements and the shape of the result; never a time."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.cost import latency

IMAGE = torch.rand(2, 3, 4, 4)


class Logged(nn.Module):
    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.name, self.log = name, log

    def forward(self, image: Tensor) -> Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.log.append(self.name)
        return image


def test_rounds_interleave_and_rotate():
    log: list[str] = []
    result = latency({name: Logged(name, log) for name in "abc"}, IMAGE, rounds=4, warmup=0)
    assert "".join(log) == "abcbcacababc"
    assert set(result) == {"a", "b", "c"}


def test_warm_up_is_not_measured():
    log: list[str] = []
    result = latency({name: Logged(name, log) for name in "ab"}, IMAGE, rounds=3, warmup=2)
    assert len(log) == 2 * (3 + 2)
    assert result["a"].rounds == 3


def test_result_and_restored_state():
    module = Logged("a", [])
    threads = torch.get_num_threads()
    figures = latency({"a": module}, IMAGE, rounds=5, threads=1)["a"]
    assert (figures.batch, figures.threads, figures.device) == (2, 1, "cpu")
    assert 0 < figures.median_ms <= figures.p95_ms
    assert figures.iqr_ms >= 0
    assert (figures.rounds, figures.batches) == (5, 1)
    assert figures.mean_ms == figures.median_ms
    assert torch.get_num_threads() == threads
    assert module.training


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "rounds must be above 0"),
        ({"threads": 0}, "threads must be above 0"),
        ({"warmup": -1}, "warmup"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        latency({"a": nn.Identity()}, IMAGE, **arguments)


def test_no_module():
    with pytest.raises(UserError, match="at least one module"):
        latency({}, IMAGE)


class Watcher(nn.Module):
    """Notes the images that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image)
        return image


def test_every_round_takes_the_next_batch_the_same_for_all(monkeypatch):
    def elapsed(module: nn.Module, image: Tensor) -> float:
        return 30.0 * module(image).mean().item()

    monkeypatch.setattr(importlib.import_module("frugalmtl.evaluation.cost.latency"), "_time", elapsed)
    batches = [torch.full((2, 3, 4, 4), float(value)) for value in (0, 0, 1)]
    one, other = Watcher(), Watcher()
    result = latency({"one": one, "other": other}, batches, rounds=6, warmup=1)
    for module in (one, other):
        assert [image.mean().item() for image in module.seen] == [1, 0, 0, 1, 0, 0, 1]
    for figures in result.values():
        assert (figures.rounds, figures.batches, figures.batch) == (6, 3, 2)
        assert (figures.median_ms, figures.mean_ms, figures.p95_ms) == (0.0, 10.0, 30.0)


def test_modules_may_see_the_same_images_normalised_in_their_own_way():
    one, other = Watcher(), Watcher()
    zeros, small = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.125)
    latency({"one": one, "other": other}, {"one": zeros, "other": [small]}, rounds=2, warmup=0)
    assert {image.mean().item() for image in one.seen} == {0.0}
    assert {image.mean().item() for image in other.seen} == {0.125}


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "at least one batch"),
        ([IMAGE, IMAGE[:1]], r"one size, but got sizes \[1, 2\]"),
        ({"a": IMAGE, "b": [IMAGE, IMAGE]}, "as many images"),
    ],
)
def test_batches_that_do_not_compare(images, message):
    with pytest.raises(UserError, match=message):
        latency({"a": nn.Identity(), "b": nn.Identity()}, images)
