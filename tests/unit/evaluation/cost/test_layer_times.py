"""Measurement of layer times: which layers and widths stand in the table, and in which runtime they ran."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.channels.times import Machine, SizedLayer
from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.cost.layer_times import measure_layers, widths_of

CONVOLUTION = SizedLayer("convolution", 3, 32, (4, 4), kernel=(3, 3), padding=(1, 1))
GROUPED = SizedLayer("convolution", 32, 64, (4, 4), groups=4)
LINEAR = SizedLayer("linear", 8, 20, (5, 1))
LAYERS = [CONVOLUTION, LINEAR, CONVOLUTION, GROUPED]


def test_every_layer_stands_in_the_table_once() -> None:
    machine = Machine.here()
    threads = torch.get_num_threads()
    table = measure_layers(LAYERS, machine, batch=2, seconds=0.01)
    assert (table.machine, table.batch) == (machine, 2)
    assert [timing.layer for timing in table.timings] == [CONVOLUTION, LINEAR, GROUPED]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("layer", "multiple", "widths"),
    [
        (CONVOLUTION, 8, [8, 16, 24, 32]),
        (CONVOLUTION, 64, [8, 16, 24, 32]),
        (GROUPED, 8, [16, 32, 48, 64]),
        (LINEAR, 8, [4, 8, 16, 20]),
    ],
)
def test_widths_are_multiples_and_whole_groups(layer: SizedLayer, multiple: int, widths: list[int]) -> None:
    assert widths_of(layer, multiple) == widths


def test_layers_run_as_they_are_prepared() -> None:
    calls: list[tuple[str, torch.Size]] = []

    class Other(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, image: Tensor) -> Tensor:
            output: Tensor = self.module(image)
            return output

    def prepare(module: nn.Module, image: Tensor) -> nn.Module:
        calls.append((type(module).__name__, image.shape))
        return Other(module)

    runtime = Machine("cpu", "a processor", "AVX512", 1, runtime="onnxruntime")
    measure_layers([CONVOLUTION], runtime, prepare=prepare, seconds=0.01)
    assert calls == 4 * [("Conv2d", torch.Size((1, 3, 4, 4)))], "8, 16, 24 and 32 of 32 outputs"
    with pytest.raises(ValueError, match="nothing puts layers into the runtime onnxruntime"):
        measure_layers([CONVOLUTION], runtime)


def test_a_batch_without_images() -> None:
    with pytest.raises(UserError, match="batch"):
        measure_layers([CONVOLUTION], Machine.here(), batch=0)
