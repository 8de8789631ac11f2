"""Single layers in onnxruntime: the same outputs as in torch."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.channels.times import SizedLayer
from frugalmtl.export._layer_session import LayerSession

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LAYERS = [
    SizedLayer("linear", 6, 10, (7, 1)),
    SizedLayer("convolution", 4, 8, (9, 6), kernel=(3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
    SizedLayer("convolution", 8, 8, (9, 6), kernel=(3, 3), padding=(1, 1), groups=4),
    SizedLayer("transposed", 4, 8, (3, 5), kernel=(2, 2), stride=(2, 2)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layers_compute_the_same(layer: SizedLayer) -> None:
    module, image = layer.build(layer.outputs).requires_grad_(False), layer.example(layer.outputs, 2)
    torch.testing.assert_close(LayerSession(module, image)(image), module(image), rtol=1e-4, atol=1e-5)


def test_other_modules_are_no_layers() -> None:
    with pytest.raises(TypeError, match="ReLU is no layer"):
        LayerSession(torch.nn.ReLU(), torch.ones(1, 3))
