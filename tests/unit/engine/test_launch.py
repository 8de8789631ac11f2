"""Kernels and precision of a training, and what comes back after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.engine import TrainSettings, make_fabric
from frugalmtl.engine.launch import kernels, local_fabric


def now() -> tuple[Any, ...]:
    return (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.conv.fp32_precision,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
    )


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
@pytest.mark.parametrize("convolutions", ["ieee", "tf32"])
def test_tf32_is_set_while_training_and_taken_back(before: Any, convolutions: Any) -> None:
    first = now()
    try:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.conv.fp32_precision = convolutions
        outside = now()
        with kernels(TrainSettings(precision="tf32")):
            assert now()[:3] == ("high", "tf32", True)
        assert now() == outside
        with kernels(TrainSettings(deterministic=True)):
            assert now() == (before, convolutions, False, True)
        assert now() == outside
    finally:
        torch.set_float32_matmul_precision(first[0])
        torch.backends.cudnn.conv.fp32_precision = first[1]


@pytest.mark.parametrize("precision", ["tf32", "16-mixed"])
def test_what_only_gpus_have_is_refused_on_a_cpu(precision: Any) -> None:
    with pytest.raises(UserError, match=f"precision {precision} needs a GPU: take 'bf16-mixed' or '32-true' on a CPU"):
        make_fabric(TrainSettings(precision=precision, accelerator="cpu"))


@pytest.mark.parametrize("accelerator", ["cuda", "gpu"])
def test_a_gpu_that_is_not_there_is_refused_in_own_words(accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"accelerator {accelerator} needs a GPU, but torch sees none: take cpu"):
        make_fabric(TrainSettings(accelerator=accelerator))


def test_a_run_keeps_its_precision() -> None:
    assert TrainSettings(precision="tf32").identity() != TrainSettings().identity()


@pytest.mark.parametrize("precision", ["32-true", "tf32", "bf16-mixed"])
def test_steps_that_are_timed_take_the_precision(precision: Any) -> None:
    fabric = local_fabric(torch.device("cpu"), precision)
    with fabric.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if precision == "bf16-mixed" else torch.float32)
