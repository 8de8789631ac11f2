"""Decisions as values: a toy router, trained form and deployed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from frugalmtl.backbones.views import macs_per_block
from frugalmtl.core.checks import UserError
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Decisions
from frugalmtl.decoders.independent import Independent
from frugalmtl.deployment import DeployedModel, deploy
from frugalmtl.deployment.fold import ChannelAffine
from frugalmtl.encoders.hard_sharing import HardSharing
from frugalmtl.evaluation.cost import distribution
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation
from tests.support.backbones import tiny_backbone
from tests.support.toys.toy_router import ToyRouter

KINDS = ("resnet", "convnext", "swin_transformer")


def build(kind: str = "resnet", **options: object) -> MultiTaskModel:
    seed_everything(0)
    tasks = [segmentation(classes=("wall", "floor", "chair"))]
    encoder = ToyRouter(tiny_backbone(kind), [task.name for task in tasks], **options)  # type: ignore[arg-type]
    decoder = Independent(encoder.channels, encoder.strides, tasks, head="linear")
    with torch.no_grad():
        for reader in encoder.readers:
            reader.weight.mul_(20)  # type: ignore[operator]
    return MultiTaskModel(encoder, decoder, tasks).eval()


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> MultiTaskModel:
    return build(request.param)


def images(count: int = 5) -> Tensor:
    spread = torch.linspace(0.1, 3.0, count).view(-1, 1, 1, 1)
    return torch.randn(count, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * spread


def random_decisions(deployed: DeployedModel, image: Tensor, seed: int) -> Decisions:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(value.shape, generator=generator) < 0.5 for name, value in deployed.decide(image).items()}


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert list(one) == list(other)
    return max(((one[name] - other[name]).abs().max() / one[name].abs().max().clamp(min=1)).item() for name in one)


@pytest.mark.parametrize("batch", [1, 2, 5])
@torch.no_grad()
def test_equal_decisions_give_equal_predictions(model: MultiTaskModel, batch: int) -> None:
    deployed, image = deploy(model), images(batch)
    for seed in range(4):
        decisions = random_decisions(deployed, image, seed)
        assert difference(model(image, decisions=decisions).by_task, deployed(image, decisions)) <= 1e-4
    decided = deployed.decide(image)
    assert difference(deployed(image), deployed(image, decided)) == 0


@torch.no_grad()
def test_an_image_is_decided_on_alone(model: MultiTaskModel) -> None:
    deployed, image = deploy(model), images()
    together = deployed.decide(image)
    for number in range(len(image)):
        alone = deployed.decide(image[number : number + 1])
        assert all(torch.equal(together[name][number], value[0]) for name, value in alone.items())


@torch.no_grad()
def test_margins_of_both_forms_are_equal_where_decisions_are(model: MultiTaskModel) -> None:
    deployed, image = deploy(model), images()
    assert isinstance(model.encoder, ToyRouter)
    decisions = random_decisions(deployed, image, 0)
    expected = model.encoder.margins(image, decisions)
    for name, margins in deployed.encoder.margins(image, decisions).items():  # type: ignore[operator]
        torch.testing.assert_close(margins, expected[name], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_blocks_that_are_off_are_not_computed(model: MultiTaskModel) -> None:
    deployed, image = deploy(model), images(1)
    everything = {name: torch.ones_like(value) for name, value in deployed.decide(image).items()}
    nothing = {name: ~value for name, value in everything.items()}

    class At(nn.Module):
        def __init__(self, decisions: Decisions) -> None:
            super().__init__()
            self.deployed, self.decisions = deployed, decisions

        def forward(self, image: Tensor) -> dict[str, Tensor]:
            return self.deployed(image, self.decisions)  # type: ignore[no-any-return]

    most, least = (distribution(At(decisions), [image]).mean for decisions in (everything, nothing))
    encoder = model.encoder
    assert isinstance(encoder, ToyRouter)
    costs = macs_per_block(encoder.network, (64, 96))
    assert most - least == pytest.approx(sum(costs[name].branch for name in encoder.gated))


def test_norms_inside_are_folded_into_the_layers_before_them() -> None:
    deployed = deploy(build("resnet"))
    assert not [m for m in deployed.modules() if isinstance(m, (_BatchNorm, ChannelAffine))]


def test_static_models_take_no_decisions() -> None:
    tasks = [segmentation(classes=("wall", "floor"))]
    encoder = HardSharing(tiny_backbone("resnet"), ["segmentation"])
    model = MultiTaskModel(encoder, Independent(encoder.channels, encoder.strides, tasks, head="linear"), tasks).eval()
    deployed, image = deploy(model), images(1)
    for call in (
        lambda: model(image, decisions={}),
        lambda: deployed(image, {}),
        lambda: deployed.decide(image),
        lambda: deployed.at("0.5x"),
    ):
        with pytest.raises(UserError):
            call()
    assert (deployed.decides, deployed.points) == (False, ())
