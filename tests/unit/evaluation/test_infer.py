"""Photographs of any size come back at their size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.infer import infer
from frugalmtl.tasks import TASKS

DEPTH = TASKS.build("depth")
WORDS = TASKS.build({"name": "classification", "classes": ["warm", "bright"]})
HELPER = TASKS.build({"name": "edges", "auxiliary": True})
MEAN, STD = (0.5, 0.25, 0.0), (0.5, 0.25, 1.0)


class Strict(nn.Module):
    """Takes multiples of 4 only; depth is the first channel, back in grey values."""

    def __init__(self) -> None:
        super().__init__()
        self.input = torch.empty(0)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        assert image.shape[-1] % 4 == 0
        assert image.shape[-2] % 4 == 0
        self.input = image
        return {"depth": image[:, :1] * 127.5 + 127.5, "classification": image.mean((2, 3))[:, :2]}


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (1, 1), (2, 33)])
def test_size_and_values(size):
    image = np.random.default_rng(0).integers(1, 256, (*size, 3), dtype=np.uint8)
    model = Strict().train()
    decoded = infer(model, image, [DEPTH, WORDS, HELPER], mean=MEAN, std=STD, divisor=4)
    assert set(decoded) == {"depth", "classification"}
    assert decoded["classification"].shape == (2,)
    assert decoded["depth"].shape == (1, *size)
    torch.testing.assert_close(decoded["depth"][0], torch.from_numpy(image[..., 0]).float())
    assert model.training


def test_padding_repeats_the_border():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    model = Strict()
    infer(model, image, [DEPTH], mean=MEAN, std=STD, divisor=4)
    assert model.input.shape == (1, 3, 8, 8)
    assert (model.input[:, :, 5:] == model.input[:, :, 4:5]).all()
    assert (model.input[..., 6:] == model.input[..., 5:6]).all()
    green = (image[0, 0, 1] / 255 - 0.25) / 0.25
    assert model.input[0, 1, 0, 0].item() == pytest.approx(green, rel=1e-6)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_other_arrays_are_refused(image):
    with pytest.raises(UserError, match="expected an RGB image"):
        infer(Strict(), image, [DEPTH], mean=MEAN, std=STD)


def test_unknown_task_is_refused():
    with pytest.raises(UserError, match="'normals' was asked for"):
        infer(Strict(), np.zeros((4, 4, 3), np.uint8), [TASKS.build("normals")], mean=MEAN, std=STD)
