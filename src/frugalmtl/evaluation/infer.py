"""Inference on single images: normalised ones, and photographs at their own size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.counting import device_of, dtype_of, evaluating
from frugalmtl.evaluation.evaluator import raw_predictions, require_finite
from frugalmtl.tasks import Task
from frugalmtl.tasks.base import Image


def infer(
    model: nn.Module,
    image: Image,
    tasks: Sequence[Task],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    divisor: int = 1,
) -> dict[str, Tensor]:
    """Predict every task of one photograph.

    The image is normalised, padded at the right and the bottom to multiples of ``divisor`` by repeating its border
    (which also works for images smaller than the padding, where mirroring does not), predicted, and dense predictions
    are cut back.

    Args:
        model: training or deployed model.
        image: RGB ``[H, W, 3]`` uint8.
        tasks: what to decode; auxiliary tasks that the model does not predict are left out.
        mean: of the normalisation, RGB in [0, 1] (:attr:`Backbone.mean`).
        std: likewise.
        divisor: image height and width that the model takes are multiples of it (:attr:`Backbone.size_divisor`).

    Returns:
        ``{task: decoded prediction}`` without the batch axis, on the CPU.

    Raises:
        UserError: not an RGB uint8 image, a task that the model does not predict, or predictions that are not finite.
    """
    positive("divisor", divisor)
    require_photograph(image)
    height, width = image.shape[:2]
    normalised = _normalise(torch.from_numpy(image.copy()), mean, std)
    padded = F.pad(normalised, (0, -width % divisor, 0, -height % divisor), mode="replicate")
    decoded = decoded_predictions(model, padded, tasks)
    dense = {task.name for task in tasks if task.dense}
    return {name: one[..., :height, :width] if name in dense else one for name, one in decoded.items()}


def require_photograph(image: Image) -> None:
    """Check that an array is a photograph.

    Raises:
        UserError: not an RGB uint8 image.
    """
    if image.ndim != 3 or image.shape[2] != 3 or str(image.dtype) != "uint8" or image.size == 0:
        raise UserError(
            f"expected an RGB image [H, W, 3] of uint8, but got shape {image.shape} of {image.dtype}: convert it"
        )


def decoded_predictions(model: nn.Module, image: Tensor, tasks: Sequence[Task]) -> dict[str, Tensor]:
    """Predict every task of one normalised image.

    Args:
        model: training or deployed model.
        image: ``[1, 3, H, W]``, as the model takes it; moved to its device.
        tasks: see :func:`infer`.

    Returns:
        ``{task: decoded prediction}`` without the batch axis, on the CPU.

    Raises:
        UserError: a task that the model does not predict, or predictions that are not finite.
    """
    with evaluating(model), torch.inference_mode():
        raw = raw_predictions(model(image.to(device_of(model), dtype_of(model))))
    decoded: dict[str, Tensor] = {}
    for task in tasks:
        if task.name in raw:
            require_finite(task, raw[task.name])
            decoded[task.name] = task.decode(raw[task.name].float())[0].cpu()
        elif not task.auxiliary:
            raise UserError(f"the model predicts {sorted(raw)}, but task {task.name!r} was asked for")
    return decoded


def _normalise(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """``[H, W, 3]`` uint8 -> ``[1, 3, H, W]`` float32."""
    return ((image.float() / 255.0 - torch.tensor(mean)) / torch.tensor(std)).permute(2, 0, 1).unsqueeze(0)
