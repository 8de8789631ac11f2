"""Widths that machines like, and runtimes that they have."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.channels.times import Machine, good_multiple
from frugalmtl.core.checks import UserError


@pytest.mark.parametrize(
    ("device", "instructions", "dtype", "multiple"),
    [
        ("cpu", "AVX512", "float32", 16),
        ("cpu", "AVX512_BF16", "float32", 16),
        ("cpu", "AVX2", "float32", 8),
        ("cpu", "DEFAULT", "float32", 8),
        ("cuda", "9.0", "bfloat16", 64),
        ("cuda", "9.0", "float16", 64),
        ("cuda", "9.0", "float32", 8),
    ],
)
def test_widths_by_machine(device: str, instructions: str, dtype: str, multiple: int) -> None:
    assert good_multiple(Machine(device, "a processor", instructions, 2, dtype)) == multiple  # type: ignore[arg-type]


def test_this_machine() -> None:
    here = Machine.here()
    assert (here.device, here.dtype, here.runtime) == ("cpu", "float32", "eager")
    assert here.instructions == torch.backends.cpu.get_cpu_capability()
    assert here.threads == torch.get_num_threads()
    assert torch.__version__.startswith(here.versions["torch"])
    assert here.instructions in str(here)


@pytest.mark.parametrize(
    ("device", "dtype", "runtime", "message"),
    [
        ("cpu", "float32", "graph", "captures CUDA graphs"),
        ("cuda", "float32", "onnxruntime", "on the CPU in float32 alone"),
        ("cpu", "bfloat16", "onnxruntime", "on the CPU in float32 alone"),
    ],
)
def test_runtimes_that_a_device_has_not(device: str, dtype: str, runtime: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Machine(device, "a processor", "AVX2", 2, dtype, runtime)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UserError, match="needs a GPU"):
        Machine.here("cuda")
