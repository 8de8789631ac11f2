"""Pictures of single images in a comparison: normalised images in, photographs and pictures of every row out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Curve, Decisions, Distribution, Heatmap, Overlay, Picture
from frugalmtl.data import Dataset, Sample, Split
from frugalmtl.decoders.independent import Independent
from frugalmtl.deployment import DeployedModel, deploy
from frugalmtl.encoders import Encoder
from frugalmtl.encoders.hard_sharing import HardSharing
from frugalmtl.experiment.comparison.gallery import EXAMPLES, add_image_pictures
from frugalmtl.experiment.runs.build import Built
from frugalmtl.model import MultiTaskModel
from frugalmtl.report import Results
from frugalmtl.tasks.segmentation import segmentation
from tests.support.backbones import tiny_backbone
from tests.support.report import build
from tests.support.toys.toy_router import ToyRouter

TASK = segmentation(classes=("wall", "floor", "chair"))


class ShownRouter(ToyRouter):
    """A router that shows the decisions that it is handed."""

    def image_pictures(self, images: Tensor, decisions: Decisions | None = None) -> list[Picture]:
        assert not self.training
        assert decisions is not None
        counts = decisions["run"].float().sum(1).tolist()
        return [
            Distribution(
                "blocks", "Blocks", "blocks", {"all": counts}, "", [0, len(counts) - 1], [min(counts), max(counts)]
            ),
            Heatmap(
                "means", "Means", ["image"], [f"{n}" for n in range(len(images))], [images.mean((1, 2, 3)).tolist()]
            ),
        ]


class ShownSharing(HardSharing):
    """An encoder that runs the same for every image, and still has something to show of them."""

    def image_pictures(self, images: Tensor) -> list[Picture]:
        masks = (images[0].mean(0) > 0).float().tolist()
        return [Overlay("bright", "Bright", [0], ["input"], [masks]), Curve("c", "C", "x", "y", {"a": [(0.0, 1.0)]})]


class Colours(Split):
    """Images of one colour each, brighter and brighter."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> Sample:
        return Sample(torch.full((3, 40, 50), 10 + 10 * index, dtype=torch.uint8), name=str(index))


def _dataset(count: int) -> Dataset:
    return SimpleNamespace(split=lambda name: {"test": Colours(count)}[name])  # type: ignore[return-value]


def _loaded(encoder: Callable[..., Encoder], **options: Any) -> tuple[Built, DeployedModel]:
    seed_everything(0)
    backbone = tiny_backbone("resnet")
    network = encoder(backbone, [TASK.name], **options)
    model = MultiTaskModel(network, Independent(network.channels, network.strides, [TASK], head="linear"), [TASK])
    return Built((TASK,), backbone, model, None, (32, 64)), deploy(model)  # type: ignore[arg-type]


def _run(fit: str = "resize", fill: str = "clean") -> Any:
    return [SimpleNamespace(config=SimpleNamespace(test_split="test", fit=fit, fill=fill))]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    results = build(tmp_path, pictures=False)
    results.rows, results.curves = results.rows[:3], {}
    return results


def test_rows_show_images_at_the_decisions_of_their_operating_point(results: Results, tmp_path: Path) -> None:
    built, deployed = _loaded(ShownRouter, points=("0.5x", "0.9x"))
    built.model.encoder.thresholds[:] = torch.tensor([30.0, -30.0])  # type: ignore[index, operator]
    deployed = deploy(built.model)
    loaded = {
        "single": _loaded(HardSharing),
        "hard": (built, deployed.at("0.5x")),
        "mtinet": (built, deployed.at("0.9x")),
    }
    add_image_pictures(results, loaded, _dataset(20), {name: _run() for name in loaded}, tmp_path)
    single, cheap, dear = results.rows
    assert single.image_pictures.all() == single.pictures == []
    blocks = len(built.model.encoder.gated)  # type: ignore[arg-type]
    for row, count in ((cheap, 0), (dear, blocks)):
        assert row.image_pictures.distributions[0].groups == {"all": [float(count)] * EXAMPLES}
    mean, std = (sum(each) / 3 for each in (built.backbone.mean, built.backbone.std))
    brightness = cheap.pictures[0].values[0]
    assert np.diff(brightness) == pytest.approx([20 / 255 / std] * (EXAMPLES - 1), rel=0.05), "spread over the split"
    assert brightness[0] == pytest.approx((10 / 255 - mean) / std, rel=0.05)
    assert results.examples == [f"figures/example_{number}.png" for number in range(EXAMPLES)]
    assert np.asarray(Image.open(tmp_path / results.examples[3])).shape == (32, 64, 3)
    assert np.unique(np.asarray(Image.open(tmp_path / results.examples[3]))).tolist() == [70]
    assert built.model.training, "the mode is left as it was"
    results.check()


def test_encoders_that_run_the_same_for_every_image_may_show_some_too(results: Results, tmp_path: Path) -> None:
    results.rows = results.rows[:1]
    add_image_pictures(results, {"single": _loaded(ShownSharing)}, _dataset(3), {"single": _run()}, tmp_path)
    assert [type(each) for each in results.rows[0].image_pictures.all()] == [Overlay, Curve]
    assert len(results.examples) == 3, "fewer where the split has fewer"
    results.check()


def test_no_photograph_is_written_where_none_is_shown(results: Results, tmp_path: Path) -> None:
    results.rows = results.rows[:1]
    add_image_pictures(results, {"single": _loaded(HardSharing)}, _dataset(3), {"single": _run()}, tmp_path)
    assert results.examples == []
    assert not list(tmp_path.rglob("example_*"))


@pytest.mark.parametrize(("fill", "edge"), [("clean", 0.0), ("reference", -1.0)])
def test_an_encoder_is_shown_what_the_deployed_model_is_scored_on(
    results: Results, tmp_path: Path, fill: str, edge: float
) -> None:
    shown: list[Tensor] = []
    results.rows = results.rows[:1]
    built, deployed = _loaded(HardSharing)
    built.model.encoder.image_pictures = lambda images: shown.append(images) or []  # type: ignore[assignment, func-returns-value]
    add_image_pictures(results, {"single": (built, deployed)}, _dataset(1), {"single": _run("pad", fill)}, tmp_path)
    mean, std = (torch.tensor(each) for each in (built.backbone.mean, built.backbone.std))
    torch.testing.assert_close(shown[0][0, :, 0, 0], edge * mean / std)  # 50 columns of 64, in the middle
