"""A small model of every family that timm lists: timm's own features, deployed equal; and the page that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from docs.backbones import build, deployed, smallest
from frugalmtl.backbones import Backbone
from frugalmtl.decoders import DECODERS
from frugalmtl.decoders.heads import HEADS
from frugalmtl.deployment import deploy
from frugalmtl.encoders.hard_sharing import HardSharing
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation

PAGE = Path(__file__).parents[3] / "docs" / "backbones.md"
LINES = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][2:]
ROWS = {row[0]: row for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in LINES)}
FAST = ("byobnet", "mambaout", "maxxvit", "nfnet", "vision_transformer_relpos")
"""A chain, one of channels last, one block, one of a fixed size, and a plain transformer of one."""
FAMILIES = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in ROWS]
HIERARCHICAL = [name for name in FAST if name != "vision_transformer_relpos"]


def built(family: str) -> Backbone:
    if ROWS[family][3] in ("no", "not tried"):
        pytest.skip(f"the page says: {ROWS[family][3]}")
    return build(ROWS[family][1])[0].eval()


def test_the_page_lists_every_family_of_timm() -> None:
    assert list(ROWS) == timm.list_modules()
    assert all(row[1] in timm.list_models(module=name) for name, row in ROWS.items())


@pytest.mark.slow  # counts the parameters of every model of a family
def test_the_page_shows_the_smallest_model() -> None:
    assert smallest("nfnet") == (ROWS["nfnet"][1], pytest.approx(float(ROWS["nfnet"][2]), abs=0.051))


def test_nearly_all_families_build_and_deploy() -> None:
    assert sum(row[6] == "yes" for row in ROWS.values()) >= 0.95 * len(ROWS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_deploys_to_equal_outputs(family: str) -> None:
    """Which :func:`frugalmtl.deployment.deploy` compares."""
    backbone = built(family)
    assert backbone.strides == [int(stride) for stride in ROWS[family][4].split(", ")]
    for encoder in ("hard_sharing", "single_task"):
        deployed(encoder, backbone)


@pytest.mark.parametrize("family", HIERARCHICAL)
def test_levels_are_the_features_of_timm(family: str) -> None:
    backbone = built(family)
    size = backbone.image_size or (64, 96)
    arguments = {"img_size": size} if backbone.image_size else {}
    torch.manual_seed(0)
    network = timm.create_model(ROWS[family][1], features_only=True, **arguments).eval()
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected, levels = network(image), backbone(image)
    if "NHWC" in str(network.output_fmt):
        expected = [feature.permute(0, 3, 1, 2) for feature in expected]
    assert all(map(torch.equal, levels, expected[-len(levels) :]))


@pytest.mark.parametrize("family", FAST)
@pytest.mark.parametrize("decoder", DECODERS.names())
def test_every_decoder_takes_a_family(decoder: str, family: str) -> None:
    backbone = built(family)
    tasks = (segmentation(classes=("wall", "floor")),)
    encoder = HardSharing(backbone, [tasks[0].name])
    deploy(MultiTaskModel(encoder, DECODERS.build(decoder, encoder.channels, encoder.strides, tasks), tasks).eval())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAST)
@pytest.mark.parametrize("head", [name for name in HEADS.names() if name != "pooled"])
def test_every_dense_head_takes_a_family(head: str, family: str) -> None:
    backbone = built(family)
    tasks = (segmentation(classes=("wall", "floor")),)
    encoder = HardSharing(backbone, [tasks[0].name])
    section = {"name": "independent", "head": head}
    deploy(MultiTaskModel(encoder, DECODERS.build(section, encoder.channels, encoder.strides, tasks), tasks).eval())
