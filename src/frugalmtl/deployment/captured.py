"""Deployed models as CUDA graphs: all kernels of a pass started at once, for images of one shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError, shown
from frugalmtl.core.counting import device_of
from frugalmtl.core.types import Decisions
from frugalmtl.deployment.model import DeployedModel
from frugalmtl.evaluation.cost import decides

WARM = 3
"""Passes before the capture, in which libraries choose their kernels and take their memory."""


class CapturedPass(nn.Module):
    """One pass of a module, captured as a CUDA graph; replays it with other values of the same shape.

    Input and outputs are fixed memory: what a pass returns is overwritten by the next one, so copy what shall stay. The
    weights are read where they lie; a module that is moved or changed afterwards needs another capture.

    Args:
        module: on a GPU; runs the same operations whatever the values of its input.
        example: input of the shape and number format that is captured, on the module's device.

    Raises:
        UserError: see :func:`require_capturable`.
    """

    image: Tensor

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        super().__init__()
        require_capturable(device_of(module), decides=decides(module))
        self.kept = (module.eval(),)  # no submodule: its weights belong to whoever hands it over
        self.register_buffer("image", example.clone(), persistent=False)
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch states no types
        stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(WARM):
                module(self.image)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.inference_mode(), torch.cuda.graph(self.graph):
            self.outputs = module(self.image)

    def forward(self, image: Tensor) -> Any:
        """Input of the captured shape, on any device -> the module's outputs, which the next pass overwrites.

        Raises:
            UserError: another shape.
        """
        require_shape(image, self.image.shape)
        self.image.copy_(image)
        self.graph.replay()
        return self.outputs


class CapturedModel(DeployedModel):
    """A deployed model whose passes replay a CUDA graph, for images of one shape.

    Predictions are fixed memory that the next pass overwrites. Operations are counted, and files are written, of the
    plain model.

    Args:
        model: on a GPU, without decisions for each image.
        example: images of the shape that is captured, on the same GPU.

    Attributes:
        plain: the model itself, for images of any shape; in a list, so that its tensors are held once.

    Raises:
        UserError: see :func:`require_capturable`.
    """

    def __init__(self, model: DeployedModel, example: Tensor) -> None:
        last = model.memory_format is torch.channels_last
        super().__init__(
            model.encoder,
            model.decoder,
            model.task_names,
            size_divisor=model.size_divisor,
            mean=model.mean,
            std=model.std,
            channels_last=last,
        )
        self.plain = [model]
        self.replay = CapturedPass(model, example)

    def forward(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Tensor]:
        """Normalised images of the captured shape -> predictions, see the plain model.

        Raises:
            UserError: another shape, or decisions.
        """
        if decisions is not None:
            raise UserError("a captured model takes no decisions")
        predictions: dict[str, Tensor] = self.replay(image)
        return predictions


def device_named(name: torch.device | str) -> torch.device:
    """The device of a name.

    Raises:
        UserError: there is no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device must be one of torch's, such as cpu or cuda, but got {shown(name)}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {device} needs a GPU, but torch sees none: leave it out")
    return device


def require_capturable(device: torch.device, *, decides: bool) -> None:
    """Check that a module can run as a CUDA graph.

    Args:
        device: that it is to run on.
        decides: what it runs depends on the values of its input.

    Raises:
        UserError: the device is no GPU, or values decide what runs.
    """
    if device.type != "cuda":
        raise UserError(f"CUDA graphs are captured on a GPU, but the device is {device.type}: leave graph out there")
    if decides:
        raise UserError(
            "this model chooses for each image what it runs, which a CUDA graph cannot: leave graph out, or capture a "
            "form with fixed decisions"
        )


def require_shape(image: Tensor, captured: torch.Size) -> None:
    """Check that images have the captured shape.

    Raises:
        UserError: they have another one.
    """
    if image.shape != captured:
        raise UserError(
            f"this model was captured for images {list(captured)}, but got {list(image.shape)}: capture another "
            "one for that shape"
        )
