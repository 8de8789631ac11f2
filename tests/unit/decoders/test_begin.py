"""Last layers of heads and decoders: where predictions begin."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from frugalmtl.core.types import Predictions
from frugalmtl.decoders import DECODERS
from frugalmtl.decoders.heads import HEADS
from frugalmtl.encoders.base import Encoder
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.depth import depth
from frugalmtl.tasks.segmentation import segmentation

CHANNELS, STRIDES = [8, 8, 8, 8], [4, 8, 16, 32]
DENSE = [name for name in HEADS.names() if HEADS.get(name).dense]


class Nothing(Encoder):
    """An encoder that is not run."""

    task_names, channels, strides = ("depth", "rooms"), CHANNELS, STRIDES


def predictions(decoder: dict[str, object], start: float) -> Predictions:
    """Predictions of depth from random features, where the last layers have no weights but their biases."""
    torch.manual_seed(0)
    tasks = (depth(start=start), segmentation(classes=("a", "b"), name="rooms"))
    model = MultiTaskModel(Nothing(), DECODERS.build(decoder, CHANNELS, STRIDES, tasks), tasks).eval()
    rooms = {name: value.clone() for name, value in model.state_dict().items() if "rooms" in name}
    model.begin_predictions()
    for layers in model.decoder.last_layers("depth"):
        assert layers
        for layer in layers:
            assert isinstance(layer.weight, nn.Parameter)
            nn.init.zeros_(layer.weight)
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in rooms.items()), "other tasks stay as they are"
    pyramid = [torch.randn(1, 8, 64 // stride, 64 // stride) for stride in STRIDES]
    result: Predictions = model.decoder({"depth": pyramid, "rooms": pyramid}, (64, 64))
    return result


@pytest.mark.parametrize("head", DENSE)
def test_every_head_begins_where_the_task_says(head: str) -> None:
    section = {"name": head, **({"width": 8} if "width" in HEADS.schema(head) else {})}
    raw = predictions({"name": "independent", "head": section}, 7.5).by_task["depth"]
    torch.testing.assert_close(raw, torch.full_like(raw, 7.5))


def test_initial_predictions_begin_there_too() -> None:
    result = predictions({"name": "pad_net", "width": 8, "fuse_width": 8}, 7.5)
    for raw in (result.by_task["depth"], result.auxiliary["initial"].by_task["depth"]):
        torch.testing.assert_close(raw, torch.full_like(raw, 7.5))
