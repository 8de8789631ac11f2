"""The order of the measurements and the shape of the result; never a time."""

from __future__ import annotations

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
    assert set(figures.as_dict()) == {"median_ms", "p95_ms", "iqr_ms", "rounds", "batch", "threads", "device"}
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
