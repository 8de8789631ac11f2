"""Cost per image of a toy router, against its decisions, and of modules that choose nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frugalmtl.backbones.views import macs_per_block
from frugalmtl.core.checks import UserError
from frugalmtl.core.seeding import seed_everything
from frugalmtl.decoders.independent import Independent
from frugalmtl.deployment import DeployedModel, deploy
from frugalmtl.evaluation.cost import batches_of, cost_per_image, count, decides, noise_images, storage
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation
from tests.support.backbones import tiny_backbone
from tests.support.toys.toy_router import ToyRouter

SIZE = (64, 96)


@pytest.fixture(scope="module")
def model() -> MultiTaskModel:
    seed_everything(0)
    tasks = [segmentation(classes=("wall", "floor", "chair"))]
    encoder = ToyRouter(tiny_backbone("resnet"), [task.name for task in tasks])
    encoder.eval()
    with torch.no_grad():
        for number, reader in enumerate(encoder.readers):  # half of the images take each block
            middle = encoder.margins(images(12))["run"][:, number].quantile(0.5)
            reader.bias.sub_(middle)  # type: ignore[operator]
    return MultiTaskModel(encoder, Independent(encoder.channels, encoder.strides, tasks, head="linear"), tasks).eval()


@pytest.fixture(scope="module")
def deployed(model: MultiTaskModel) -> DeployedModel:
    return deploy(model)


def images(count: int) -> Tensor:
    spread = torch.linspace(0.1, 3.0, count).view(-1, 1, 1, 1)
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(1)) * spread


@torch.no_grad()
def test_mean_and_percentiles_are_those_of_what_is_chosen(model: MultiTaskModel, deployed: DeployedModel) -> None:
    encoder, shown = model.encoder, images(12)
    assert isinstance(encoder, ToyRouter)
    cost = cost_per_image(deployed, SIZE, list(shown))
    branches = macs_per_block(encoder.network, SIZE)
    optional = torch.tensor([branches[name].branch for name in encoder.gated], dtype=torch.float64)
    whole = cost_per_image(_Everything(deployed), SIZE, list(shown[:1])).macs
    macs = (whole - optional.sum() + deployed.decide(shown)["run"].double() @ optional).numpy()
    assert cost.macs == pytest.approx(macs.mean())
    assert [cost.macs_p5, cost.macs_p95] == pytest.approx(np.percentile(macs, [5, 95]))
    assert cost.macs_p5 < cost.macs < cost.macs_p95
    assert (cost.flops, cost.images) == (2 * cost.macs, 12)
    assert (cost.params, cost.bytes) == storage(deployed)


class _Everything(nn.Module):
    """The deployed model with all that can be chosen."""

    data_dependent = True

    def __init__(self, deployed: DeployedModel) -> None:
        super().__init__()
        self.deployed = deployed
        self.everything = deployed.encoder.everything(images(1))  # type: ignore[operator]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return self.deployed(image, self.everything)  # type: ignore[no-any-return]


def test_a_deciding_module_is_not_measured_on_noise(model: MultiTaskModel, deployed: DeployedModel) -> None:
    assert decides(deployed)
    for call in (
        lambda: count(deployed, SIZE),
        lambda: cost_per_image(deployed, SIZE),
        lambda: cost_per_image(deployed, SIZE, []),
        lambda: noise_images([nn.Identity(), deployed], SIZE),
    ):
        with pytest.raises(UserError, match="on images of its data, not on noise") as error:
            call()
        assert "\n" not in str(error.value)
    assert count(model, SIZE).counted_on == "meta", "in training all runs, masked"


class Untouchable(list[Tensor]):
    """Images that must not be looked at."""

    def __init__(self) -> None:
        super().__init__([torch.empty(0)])

    def __iter__(self) -> None:  # type: ignore[override]
        raise AssertionError("an image was looked at")

    __getitem__ = __iter__  # type: ignore[assignment]


def test_static_modules_are_counted_on_shapes() -> None:
    module = nn.Conv2d(3, 8, 3, padding=1)
    cost, counts = cost_per_image(module, SIZE, Untouchable()), count(module, SIZE)
    assert not decides(module)
    assert [cost.macs, cost.macs_p5, cost.macs_p95] == [counts.macs] * 3
    assert (cost.flops, cost.params, cost.bytes, cost.images) == (counts.flops, counts.params, counts.bytes, 0)


def test_a_module_that_reads_values_without_saying_so_is_counted_on_images_where_there_are_any() -> None:
    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, image: Tensor) -> Tensor:
            return self.conv(image) if image.mean() > 0.5 else image  # type: ignore[no-any-return]

    shown = [torch.zeros(3, 4, 4), torch.ones(3, 4, 4)]
    assert (cost_per_image(Bright(), (4, 4), shown).macs, cost_per_image(Bright(), (4, 4), shown).images) == (48, 2)
    assert cost_per_image(Bright(), (4, 4)).images == 0


def test_batches_are_of_consecutive_images_spread_over_all() -> None:
    numbers = torch.arange(20.0).view(20, 1, 1, 1)

    def batches(count: int, size: int, most: int) -> list[list[float]]:
        return [batch.flatten().tolist() for batch in batches_of(numbers[:count], size, most)]

    assert batches(20, 8, 5) == [list(range(8)), list(range(8, 16))], "whole batches alone"
    assert batches(20, 1, 3) == [[0.0], [10.0], [19.0]]
    assert batches(20, 1, 1) == [[0.0]]
    assert batches(3, 8, 5) == [[0.0, 1.0, 2.0]]
