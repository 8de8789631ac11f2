"""Single layers in onnxruntime, to be timed there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.export._session import open_session, require_onnxruntime

OPSET = 18


class LayerSession(nn.Module):
    """A convolution or linear layer in onnxruntime, on the CPU in float32.

    The graph is written down and not traced: tracing takes seconds for each layer.

    Args:
        module: the layer.
        image: input of the shape that it is run on.

    Raises:
        UserError: onnx or onnxruntime is not installed.
    """

    def __init__(self, module: nn.Module, image: Tensor) -> None:
        super().__init__()
        require_onnxruntime("onnx")
        self.session = open_session(layer_file(module, image))

    def forward(self, image: Tensor) -> Tensor:
        """As the layer."""
        return torch.from_numpy(self.session.run(None, {"image": image.numpy()})[0])


def layer_file(module: nn.Module, image: Tensor) -> bytes:
    """The ONNX file of a convolution or linear layer, for an image of that shape."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes: list[Any] = []
    tensors: dict[str, Tensor | None]
    if isinstance(module, nn.Linear):
        tensors = {"weight": module.weight.T, "bias": module.bias}
        nodes.append(helper.make_node("MatMul", ["image", "weight"], ["product"]))
        nodes.append(helper.make_node("Add", ["product", "bias"], ["output"]))
    elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        tensors = {"weight": module.weight, "bias": module.bias}
        kind = "ConvTranspose" if isinstance(module, nn.ConvTranspose2d) else "Conv"
        height, width = (int(value) for value in module.padding)
        shape: dict[str, Any] = {
            "strides": list(module.stride),
            "pads": [height, width, height, width],
            "dilations": list(module.dilation),
            "group": module.groups,
        }
        nodes.append(helper.make_node(kind, ["image", "weight", "bias"], ["output"], **shape))
    else:
        raise TypeError(f"{type(module).__name__} is no layer that is timed")
    held = [
        numpy_helper.from_array(tensor.detach().contiguous().numpy(), name)
        for name, tensor in tensors.items()
        if tensor is not None
    ]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(image.shape))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(module(image).shape))],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
