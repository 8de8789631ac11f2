"""The deployed form under any decisions: outputs of the masked network, and the multiply-adds of what is on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from frugalmtl.core.counting import MacCounter
from frugalmtl.core.types import Decisions, Pyramid
from tests.support.adamtl.runtime import Pair, macs_of, masked, pair_of

KINDS = ("swin_transformer", "vision_transformer")
BATCHES = ((1, (64, 64)), (9, (64, 96)), (2, (224, 224)), (4, (96, 160)), (6, (64, 64)))
"""Images and their size; 224 pixels alone fit windows without padding."""
DEVICES = (
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="runs on a GPU")),
)


def under(pair: Pair, image: Tensor, decisions: Decisions) -> Pyramid:
    with torch.inference_mode():
        return pair.runtime(image, decisions)["first"]


def close(one: Pyramid, other: Pyramid) -> None:
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dropped", ["identity", "norm"])
@pytest.mark.parametrize("attention", ["windows", "dense"])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_multiply_adds_are_those_of_the_decisions(
    kind: str, attention: str, dropped: str, device: str
) -> None:
    pair = pair_of(kind, attention=attention, dropped=dropped).double()
    for seed, (batch, size) in enumerate(BATCHES):
        image, decisions = pair.draw(batch, size, seed)
        image = image.double()
        expected, macs = masked(pair, image, decisions), macs_of(pair, image, decisions)
        pair.runtime.to(device)
        with MacCounter(pair.runtime) as counter:
            pair.runtime(image.to(device), {name: value.to(device) for name, value in decisions.items()})
        assert counter.macs() == macs
        moved = {name: value.to(device) for name, value in decisions.items()}
        close([level.cpu() for level in under(pair, image.to(device), moved)], expected)
        pair.runtime.cpu()


@pytest.mark.parametrize("pyramid", ["stages", "merged"])
def test_all_and_nothing(pyramid: str) -> None:
    pair = pair_of("swin_transformer", backbone={"pyramid": pyramid}).double()
    image, decisions = pair.draw(3, (96, 128), 0)
    image = image.double()
    for value in (True, False):
        constant = {name: torch.full_like(mask, value) for name, mask in decisions.items()}
        close(under(pair, image, constant), masked(pair, image, constant))
    with torch.no_grad():
        close(
            under(pair, image, {name: torch.ones_like(mask) for name, mask in decisions.items()}), pair.network(image)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_a_batch_do_not_see_each_other(kind: str) -> None:
    pair = pair_of(kind).double()
    image, decisions = pair.draw(5, (96, 160), 3)
    together = under(pair, image.double(), decisions)
    order = torch.tensor([3, 0, 4, 1, 2])
    mixed = under(pair, image[order].double(), {name: mask[order] for name, mask in decisions.items()})
    close(mixed, [level[order] for level in together])
    for number in range(5):
        part = slice(number, number + 1)
        alone = under(pair, image[part].double(), {name: mask[part] for name, mask in decisions.items()})
        close(alone, [level[part] for level in together])


def test_states_that_the_pyramid_reads_are_not_written_over() -> None:
    pair = pair_of("vision_transformer", backbone={"pyramid": "stages"}).double()
    image, decisions = pair.draw(3, (64, 96), 1)
    close(under(pair, image.double(), decisions), masked(pair, image.double(), decisions))


def test_gradients_reach_the_image() -> None:
    pair = pair_of("swin_transformer").double()
    image, decisions = pair.draw(2, (96, 64), 2)
    leaves = [image.double().requires_grad_() for _ in range(2)]
    with torch.inference_mode():
        pair.runtime(image.double(), decisions)  # tables that are made without gradients serve those with
    outputs = pair.runtime(leaves[0], decisions)["first"], masked(pair, leaves[1], decisions)
    for levels in outputs:
        sum(level.square().sum() for level in levels).backward()
    assert leaves[0].grad is not None
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)
