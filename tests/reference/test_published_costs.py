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
FILES = sorted([*FOLDER.glob("survey_*.yaml"), *FOLDER.glob("interrogate_*.yaml")], key=lambda path: path.name)

# GMAC and million parameters of the same networks written separately, without this library. They catch a change that
# the papers' rounding would hide.
COUNTED = {
    "survey_nyud_resnet50_single_task": (383.39, 79.28),
    "survey_nyud_resnet50_mtl": (266.59, 55.77),
    "survey_pascal_resnet18_single_task": (334.64, 79.50),
    "survey_pascal_resnet18_mtl": (142.12, 34.80),
    "interrogate_nyud_resnet50_single_task": (575.05, 118.91),
    "interrogate_nyud_resnet50_mtl": (341.45, 71.90),
    "interrogate_nyud_hrnet18_single_task": (64.71, 28.92),
    "interrogate_nyud_hrnet18_mtl": (24.52, 9.80),
}

WIDTHS = ("resnet20", "resnet20_half", "resnet20_quarter")


def load(name: str) -> Experiment:
    return parse(Experiment, read_yaml(FOLDER / f"{name}.yaml"), name)


@cache
def counts_of(name: str) -> Counts:
    config = load(name)
    with torch.device("meta"):
        built = build(config)
    return count(built.model, built.image_size)


def agrees(measured: float, printed: float, unit: float) -> bool:
    """Within 2 %, or within the rounding of the last printed digit."""
    return abs(measured - printed) <= max(0.02 * printed, 0.5 * unit)


def test_all_operating_points_are_there():
    survey = {
        f"survey_{data}_{net}_{method}"
        for data in ("nyud", "pascal")
        for net in ("resnet50", "resnet18")
        for method in ("single_task", "mtl", "cross_stitch")
    }
    interrogate = {
        f"interrogate_{point}_{method}"
        for point in (
            "nyud_hrnet18",
            "nyud_resnet50",
            "nyud_resnet50_half",
            "nyud_resnet50_quarter",
            "nyud_vit_base",
            "nyud_vit_small",
            "pascal_resnet18",
            *(f"celeba_{width}" for width in WIDTHS),
        )
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
    if "convention" not in published:
        assert "Not reproduced" in path.read_text(encoding="utf-8")
        return
    flops = in_convention(counts.macs, published["convention"], counts.products)
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


@pytest.mark.parametrize("name", WIDTHS)
@pytest.mark.parametrize("method", ["single_task", "mtl"])
def test_small_networks_cost_what_their_source_describes(name, method):
    """The printed operations are not reproduced: 18 convolutions of equal cost but two of half, stem and shortcuts.

    He et al. 2016, section 4.2, at 32 x 32, with w = 16, 8 or 4 channels in the first stage.
    """
    counts = counts_of(f"interrogate_celeba_{name}_{method}")
    w = 16 // {"": 1, "half": 2, "quarter": 4}[name.partition("_")[2]]
    equal = 9 * w * w * 32 * 32
    shortcuts = 2 * (w * 2 * w * 16 * 16)
    trunk = 17 * equal + 9 * 3 * w * 32 * 32 + shortcuts
    assert counts.macs == (3 * (trunk + 4 * w) if method == "single_task" else trunk + 3 * 4 * w)


@pytest.mark.parametrize("size", ["small", "base"])
def test_transformer_rows_part_into_trunk_and_heads_as_printed(size):
    """Printed rows are 3 (E + H) and E + 3 H: E is 232.5 and 65.0 G, H 20.5 and 17.7 G, each within the rounding."""
    counts = counts_of(f"interrogate_nyud_vit_{size}_mtl")
    trunk, heads = (counts.by_module[name] for name in ("encoder", "decoder"))
    printed_trunk, printed_head = {"small": (65.0, 17.67), "base": (232.5, 20.5)}[size]
    assert in_convention(trunk, "2 macs, products 1", counts.products) / 1e9 == pytest.approx(printed_trunk, abs=0.75)
    assert in_convention(heads, "2 macs") / 3e9 == pytest.approx(printed_head, abs=0.35)


def test_parts_add_up():
    counts = counts_of("survey_nyud_resnet50_mtl")
    assert counts.by_module["encoder"] + counts.by_module["decoder"] == counts.macs
    assert counts.by_module["encoder"] / 1e9 == pytest.approx(116.8, abs=0.05)
    assert counts.by_module["decoder.heads.depth"] / 1e9 == pytest.approx(74.9, abs=0.05)
