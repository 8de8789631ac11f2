"""The configs of published operating points cost what the papers print, in the papers' conventions."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from frugalmtl.data import augmentation
from frugalmtl.engine.optimizers import OPTIMIZERS
from frugalmtl.engine.schedules import SCHEDULES
from frugalmtl.evaluation.cost import Counts, count, in_convention
from frugalmtl.experiment.build import build
from frugalmtl.experiment.config import Experiment, parse, read_yaml

FOLDER = Path(__file__).parents[2] / "configs" / "paper"
FILES = sorted([*FOLDER.glob("survey_*.yaml"), *FOLDER.glob("interrogate_*_resnet*.yaml")], key=lambda path: path.name)

# GMAC and million parameters of the same networks written separately, without this library. They catch a change that
# the papers' rounding would hide.
COUNTED = {
    "survey_nyud_resnet50_single_task": (383.39, 79.28),
    "survey_nyud_resnet50_mtl": (266.59, 55.77),
    "survey_pascal_resnet18_single_task": (334.64, 79.50),
    "survey_pascal_resnet18_mtl": (142.12, 34.80),
    "interrogate_nyud_resnet50_single_task": (575.05, 118.91),
    "interrogate_nyud_resnet50_mtl": (341.45, 71.90),
}


def load(name: str) -> Experiment:
    return parse(Experiment, read_yaml(FOLDER / f"{name}.yaml"), name)


@cache
def counts_of(name: str) -> Counts:
    config = load(name)
    with torch.device("meta"):
        built = build(config)
    return count(built.model, built.image_size)


def agrees(measured: float, printed: float, unit: float) -> bool:
    """Within 1.5 %, or within the rounding of the last printed digit."""
    return abs(measured - printed) <= max(0.015 * printed, 0.5 * unit)


def test_all_operating_points_are_there():
    survey = {
        f"survey_{data}_{net}_{method}"
        for data in ("nyud", "pascal")
        for net in ("resnet50", "resnet18")
        for method in ("single_task", "mtl", "cross_stitch")
    }
    interrogate = {
        f"interrogate_{point}_{method}"
        for point in ("nyud_resnet50", "pascal_resnet18")
        for method in ("single_task", "mtl")
    }
    assert {path.stem for path in FILES} == survey | interrogate


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_training_sections_are_valid(path):
    config = load(path.stem)
    assert config.name == path.stem
    OPTIMIZERS.check(config.train.optimizer)
    SCHEDULES.check(config.train.schedule)
    assert augmentation(config.augmentation) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_costs_are_the_published_ones(path):
    published = load(path.stem).published
    counts = counts_of(path.stem)
    assert counts.counted_on == "meta"
    if published is None:
        assert "No published row" in path.read_text(encoding="utf-8")
        assert counts.macs > 0
        return
    flops = in_convention(counts.macs, published["convention"])
    assert agrees(flops, published["flops"], 1e9), f"{flops / 1e9:.2f} G"
    if "params" in published:
        assert agrees(counts.params, published["params"], 1e6), f"{counts.params / 1e6:.2f} M"
    if path.stem in COUNTED:
        macs, params = COUNTED[path.stem]
        assert counts.macs / 1e9 == pytest.approx(macs, abs=0.03)
        assert counts.params / 1e6 == pytest.approx(params, abs=0.006)


@pytest.mark.parametrize("point", ["nyud_resnet50", "pascal_resnet18"])
def test_cross_stitch_costs_what_single_networks_cost(point):
    single = counts_of(f"survey_{point}_single_task")
    stitched = counts_of(f"survey_{point}_cross_stitch")
    assert stitched.macs == single.macs  # the units work elementwise
    tasks, channels = (2, 256 + 512 + 1024 + 2048) if "50" in point else (5, 64 + 128 + 256 + 512)
    assert stitched.params - single.params == tasks * tasks * channels


def test_parts_add_up():
    counts = counts_of("survey_nyud_resnet50_mtl")
    assert counts.by_module["encoder"] + counts.by_module["decoder"] == counts.macs
    assert counts.by_module["encoder"] / 1e9 == pytest.approx(116.8, abs=0.05)
    assert counts.by_module["decoder.heads.depth"] / 1e9 == pytest.approx(74.9, abs=0.05)
