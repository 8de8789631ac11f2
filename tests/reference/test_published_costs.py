"""Cost of the networks in configs/paper: what the papers print, in the papers' conventions."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from frugalmtl.backbones.views import macs_per_block, tokens_of
from frugalmtl.channels.cost import node_macs
from frugalmtl.core.recipe import stage_epochs
from frugalmtl.data import augmentation
from frugalmtl.deployment import deploy
from frugalmtl.engine.optimizers import OPTIMIZERS
from frugalmtl.engine.parameter_groups import build_optimizer, check_groups
from frugalmtl.engine.schedules import SCHEDULES
from frugalmtl.evaluation.cost import Counts, count, in_convention
from frugalmtl.experiment.config.comparison import Comparison, row_experiments
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse, read_yaml
from frugalmtl.experiment.runs.build import Built, build

FOLDER = Path(__file__).parents[2] / "configs" / "paper"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
COMPARISONS = {name: parse(Comparison, read_yaml(path), path.name) for name, path in FILES.items()}
EXPERIMENTS: dict[str, Experiment] = {
    f"{name}_{row}": experiment
    for name, comparison in COMPARISONS.items()
    for row, experiment in row_experiments(comparison, comparison.seeds[0]).items()
}
"""``{FILE_ROW: experiment}``."""

# GMAC and million parameters of the same networks written separately, without this library. They catch a change that
# the papers' rounding would hide.
COUNTED = {
    "survey_nyud_resnet50_single_task": (383.39, 79.28),
    "survey_nyud_resnet50_mtl": (266.59, 55.77),
    "survey_pascal_resnet18_single_task": (334.64, 79.50),
    "survey_pascal_resnet18_mtl": (142.12, 34.80),
    "survey_nyud_resnet50_mtan": (394.30, 72.05),
    "survey_pascal_resnet18_mtan": (159.15, 36.61),
    "survey_pascal_resnet18_nddr": (373.22, 88.32),
    "survey_nyud_hrnet18_single_task": (22.53, 7.88),
    "survey_nyud_hrnet18_mtl": (12.77, 4.02),
    "survey_pascal_hrnet18_single_task": (47.76, 19.68),
    "survey_pascal_hrnet18_mtl": (14.45, 4.24),
    "survey_pascal_hrnet18_pad_net": (424.90, 29.30),
    "survey_pascal_hrnet18_mti_net": (30.31, 24.49),
    "interrogate_nyud_resnet50_single_task": (575.05, 118.91),
    "interrogate_nyud_resnet50_mtl": (341.45, 71.90),
    "interrogate_nyud_hrnet18_single_task": (64.71, 28.92),
    "interrogate_nyud_hrnet18_mtl": (24.52, 9.80),
    "adamtl_pascal_swin_tiny_single_task": (19.26, 117.33),
    "adamtl_pascal_swin_tiny_static": (5.79, 34.77),
    "adamtl_pascal_swin_small_static": (12.40, 67.02),
    "adamtl_pascal_swin_base_static": (59.34, 108.66),
}

NOT_REPRODUCED = {
    "survey_nyud_resnet50_nddr": (494.43, 101.59),
    "survey_nyud_hrnet18_pad_net": (168.90, 12.16),
    "survey_nyud_hrnet18_mti_net": (22.88, 14.84),
}
"""GMAC and million parameters of the survey's code, where the survey prints others."""

GATED = [name for name in EXPERIMENTS if name.endswith("_interrogate")]
DECIDING = [name for name, config in EXPERIMENTS.items() if config.encoder["name"] == "adamtl"]
STATIC = [name for name in EXPERIMENTS if name not in (*GATED, *DECIDING)]

SWINS = ("swin_tiny", "swin_small", "swin_base")
WIDTHS = ("resnet20", "resnet20_half", "resnet20_quarter")


def text_of(name: str) -> str:
    """The file that an experiment stands in."""
    file = next(file for file in sorted(FILES, key=len, reverse=True) if name.startswith(f"{file}_"))
    return FILES[file].read_text(encoding="utf-8")


@cache
def built_of(name: str) -> Built:
    with torch.device("meta"):
        return build(EXPERIMENTS[name])


@cache
def counts_of(name: str) -> Counts:
    built = built_of(name)
    return count(built.model, built.image_size)


def agrees(measured: float, printed: float, unit: float) -> bool:
    """Within 2 %, or within the rounding of the last printed digit."""
    return abs(measured - printed) <= max(0.02 * printed, 0.5 * unit)


def test_all_operating_points_are_there():
    survey = {
        f"survey_{data}_{net}_{method}"
        for data in ("nyud", "pascal")
        for net in ("resnet50", "resnet18")
        for method in ("single_task", "mtl", "cross_stitch", "mtl_text", "cross_stitch_text", "grad_norm")
    }
    survey |= {f"survey_nyud_{net}_single_task_text" for net in ("resnet50", "resnet18")}
    survey |= {f"survey_nyud_resnet50_{row}" for row in ("nddr", "mtan", "uncertainty", "dwa", "mgda")}
    survey |= {f"survey_pascal_resnet18_{row}" for row in ("nddr", "mtan", "uniform", "uncertainty", "dwa", "mgda")}
    survey |= {
        f"survey_{data}_hrnet18_{row}"
        for data in ("nyud", "pascal")
        for row in ("single_task", "mtl", "pad_net", "mti_net")
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
        for method in ("single_task", "mtl", "interrogate")
    }
    adashare = {
        f"adashare_{setting}_{row}"
        for setting in ("nyud_2tasks", "nyud_3tasks", "cityscapes", "taskonomy")
        for row in ("single_task", "hard_sharing", "adashare", "random", "cost_order", "adashare_budget")
    }
    adamtl = {
        f"adamtl_pascal_{size}_{row}" for size in SWINS for row in ("single_task", "static", "adamtl_h", "adamtl_l")
    }
    parts = ("random_untrained", "random", "task_agnostic", "blocks", "tokens", "points", "blocks_off")
    adamtl |= {f"adamtl_pascal_swin_tiny_{row}" for row in parts}
    assert set(EXPERIMENTS) == survey | interrogate | adashare | adamtl
    assert len(FILES) == 23


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_training_sections_are_valid(name):
    config, model = EXPERIMENTS[name], built_of(name).model
    check_groups(model, model.recipe(), config.train)
    stage_epochs(model.recipe(), config.train.epochs)
    OPTIMIZERS.check(config.train.optimizer)
    SCHEDULES.check(config.train.schedule)
    assert augmentation(config.augmentation) is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", STATIC)
def test_costs_are_the_published_ones(name):
    published = EXPERIMENTS[name].published
    counts = counts_of(name)
    assert counts.counted_on == "meta"
    if published is None:
        assert "No published row" in text_of(name)
        assert counts.macs > 0
        return
    if not published.convention:
        assert "Not reproduced" in text_of(name)
        return
    if published.flops is None:
        assert "prints no operations" in text_of(name)
        return
    flops = in_convention(counts.macs, published.convention, counts.products)
    assert agrees(flops, published.flops, 1e9), f"{flops / 1e9:.2f} G"
    if published.params is not None:
        assert agrees(counts.params, published.params, 1e6), f"{counts.params / 1e6:.2f} M"
    if name in COUNTED:
        macs, params = COUNTED[name]
        assert counts.macs / 1e9 == pytest.approx(macs, abs=0.03)
        assert counts.params / 1e6 == pytest.approx(params, abs=0.006)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_REPRODUCED)
def test_networks_whose_printed_cost_is_not_reproduced_cost_what_the_code_does(name):
    counts, (macs, params) = counts_of(name), NOT_REPRODUCED[name]
    assert not EXPERIMENTS[name].published.convention
    assert counts.macs / 1e9 == pytest.approx(macs, abs=0.03)
    assert counts.params / 1e6 == pytest.approx(params, abs=0.006)


@pytest.mark.slow
@pytest.mark.parametrize("name", DECIDING)
def test_networks_that_choose_for_each_image_cost_what_is_printed_at_some_choice(name):
    """Between all gated blocks off and all on. Printed parameters have one set of token policies and no block policies.

    In training form all of a network runs.
    """
    config, built, counts = EXPERIMENTS[name], built_of(name), counts_of(name)
    if config.published is None or config.published.flops is None:
        return
    network = built.model.encoder.network
    blocks = macs_per_block(network, built.image_size)
    gated = [info.name for info in network.blocks if tokens_of(network.get_submodule(info.name)) is not None]
    assert counts.macs - sum(blocks[block].total for block in gated) < config.published.flops < counts.macs
    size = next(size for size in SWINS if size in name)
    static = counts_of(f"adamtl_pascal_{size}_static")
    assert counts.by_module["decoder"] == static.by_module["decoder"]
    if config.published.params is not None:
        assert static.params < config.published.params < counts.params


@pytest.mark.slow
@pytest.mark.parametrize("name", GATED)
def test_gates_lie_between_the_printed_ends(name):
    """What trained gates cost is not known before training; what they cost all open and all closed is.

    All open, the deployed network is the printed STL row; all closed, the printed MTL row, but for the projections of
    the transformers' shared branch, which hard sharing does not have. The row of the config lies between the two.
    """
    config, built = EXPERIMENTS[name], built_of(name)
    encoder = built.model.encoder
    assert encoder.learns_cost
    encoder.read_levels = built.model.read_levels()
    per_node = node_macs(encoder.graph, encoder.shared, built.image_size)

    def trunk(open_gates: bool, projection: float) -> float:
        masks = [np.full((len(built.tasks), width), open_gates) for width in encoder.gates.places.widths]
        return encoder.plan_of(masks).macs(per_node, {int(site): projection for site in encoder.projections})

    reference = name.removesuffix("interrogate")
    for open_gates, method in ((True, "single_task"), (False, "mtl")):
        counts = counts_of(reference + method)
        assert trunk(open_gates, 0.0) == pytest.approx(counts.by_module["encoder"], rel=1e-9)
        published = EXPERIMENTS[reference + method].published
        if published.convention:
            macs = trunk(open_gates, 0.0) + counts.by_module["decoder"]
            flops = in_convention(macs, published.convention, counts.products)
            assert agrees(flops, published.flops, 1e9), f"{method}: {flops / 1e9:.2f} G"
    assert trunk(True, 1.0) == trunk(True, 0.0)
    heard = trunk(False, 1.0) - trunk(False, 0.0)
    assert heard == (11 if "vit" in name else 0)  # nobody would hear that of the last block
    single, shared = (EXPERIMENTS[reference + method].published for method in ("single_task", "mtl"))
    assert shared.flops < config.published.flops < single.flops
    assert config.published.convention == single.convention
    if config.published.params is not None:
        assert shared.params < config.published.params < single.params
    assert set(config.published.scores) == set(single.scores)


@pytest.mark.parametrize(("alpha", "method"), [(1.0, "single_task"), (-1.0, "mtl")])
def test_a_deployed_network_with_equal_gates_costs_what_the_plan_says(alpha, method):
    built = build(EXPERIMENTS["interrogate_celeba_resnet20_quarter_interrogate"])
    built.model.encoder.enter_stage("joint")
    torch.nn.init.constant_(built.model.encoder.gates.alpha, alpha)
    counts = count(deploy(built.model), built.image_size)
    assert counts.macs == counts_of(f"interrogate_celeba_resnet20_quarter_{method}").macs


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name.startswith("interrogate_nyud_vit_")])
def test_transformers_train_their_heads_ten_times_faster(name):
    """Appendix A: 1e-5 for the encoder, 1e-4 for the heads."""
    settings, built = EXPERIMENTS[name].train, built_of(name)
    stage = built.model.recipe()[-1]
    optimizer = build_optimizer(built.model, built.balancer, stage, settings)
    names = {id(parameter): name for name, parameter in built.model.named_parameters()}
    rates = {names[id(p)]: group["base_lr"] for group in optimizer.param_groups for p in group["params"]}
    expected = {name: 1e-4 if name.startswith("decoder.") else 1e-5 for name in names.values()}
    expected |= {name: 0.1 for name in names.values() if name.startswith("encoder.gates.")}
    assert rates == pytest.approx(expected)


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


@pytest.mark.slow
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
