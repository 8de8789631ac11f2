"""AdaShare's settings in configs/paper: backbones, policies and heads as published, recipes of the published length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from frugalmtl.backbones import BACKBONES
from frugalmtl.backbones.views import BlockMacs, macs_per_block
from frugalmtl.core.budget import Budget
from frugalmtl.core.recipe import stage_epochs
from frugalmtl.deployment import deploy, plan_encoder
from frugalmtl.encoders._policy_tree import GatedChain, TreeCost
from frugalmtl.encoders.adashare.budget import Goal
from frugalmtl.encoders.adashare.cost import ModelCost
from frugalmtl.engine.schedules import SCHEDULES, Progress
from frugalmtl.evaluation.cost import count
from frugalmtl.experiment.config.comparison import Comparison, row_experiments
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse, read_yaml
from frugalmtl.experiment.runs.build import Built, build

FOLDER = Path(__file__).parents[2] / "configs" / "paper"
GRID = 225
"""Side of an image whose maps here have the sizes that pooling in the code leaves of 224: 57 and 29 positions."""

BLOCKS = [0.24] * 3 + [0.19] + [0.25] * 3 + [0.74] + [0.99] * 5 + [2.98] + [3.97] * 2
"""GMAC of the branches of a ResNet-34 at 224, as derived from the code."""


@dataclass(frozen=True)
class Setting:
    """A setting as its source states it, in optimiser steps, and the images of its training split."""

    images: int
    warmup: int
    search: int
    retrain: int
    penalties: tuple[float, float]
    speed: float
    rates: tuple[float, float]
    lowered: tuple[int, float]
    budget: str


SETTINGS = {
    "nyud_2tasks": Setting(795, 4000, 16000, 20000, (0.05, 0.05), 3, (1e-3, 1e-3), (4000, 0.5), "0.9x"),
    "nyud_3tasks": Setting(795, 4000, 16000, 20000, (0.001, 0.05), 3, (1e-3, 1e-3), (4000, 0.5), "0.8x"),
    "cityscapes": Setting(2975, 4000, 16000, 20000, (0.01, 0.1), 3, (1e-3, 1e-4), (4000, 0.5), "0.85x"),
    "taskonomy": Setting(275_000, 20000, 80000, 30000, (0.001, 0.005), 1, (1e-4, 1e-4), (12000, 0.3), "0.8x"),
}
LEARNED = ("adashare", "adashare_budget")
EQUAL = ("random", "cost_order", "adashare_budget")
ROWS = ("single_task", "hard_sharing", "adashare", "random", "cost_order", "adashare_budget")
BATCH = 16


@cache
def comparison_of(name: str) -> Comparison:
    path = FOLDER / f"adashare_{name}.yaml"
    return parse(Comparison, read_yaml(path), path.name)


@cache
def rows_of(name: str) -> dict[str, Experiment]:
    return row_experiments(comparison_of(name), 0)


@cache
def built_of(name: str, row: str) -> Built:
    with torch.device("meta"):
        return build(rows_of(name)[row])


@cache
def blocks_of(model: str = "resnet34", side: int = GRID) -> tuple[GatedChain, dict[str, BlockMacs]]:
    backbone = BACKBONES.build({"name": "timm", "model": model, "output_stride": 8})
    return GatedChain.of(backbone), macs_per_block(backbone, (side, side))


def cost(tasks: int) -> TreeCost:
    """Of tasks that read the last level of a ResNet-34."""
    names = [str(task) for task in range(tasks)]
    return TreeCost(*blocks_of(), names, dict.fromkeys(names, (3,)))


def passes(policy: NDArray[np.bool_]) -> float:
    """GMAC of a pass of its own for each task."""
    return sum(cost(1)(row[None]) for row in policy) / 1e9


def policies_of_published_cost(tasks: int, published: float, count: int) -> list[NDArray[np.bool_]]:
    """Random policies whose passes, one per task, cost what was published within 1 %."""
    generator = np.random.default_rng(0)
    policies: list[NDArray[np.bool_]] = []
    while len(policies) < count:
        policy = generator.random((tasks, len(BLOCKS))) < generator.uniform(0.7, 0.98)
        if abs(passes(policy) / published - 1) <= 0.01:
            policies.append(policy)
    return policies


def test_blocks_cost_what_the_reference_lists() -> None:
    chain, macs = blocks_of()
    branches = [macs[block].branch / 1e9 for block in chain.gated]
    assert branches == pytest.approx(BLOCKS, abs=0.005)  # the rounding of the list


@pytest.mark.parametrize(("tasks", "published"), [(2, 37.06), (3, 55.59)])
@pytest.mark.parametrize("side", [GRID, 232])
def test_separate_networks_cost_what_was_published(tasks: int, published: float, side: int) -> None:
    """K passes of a ResNet-34; with pooling that rounds down, 224 gives 17.30 a pass, not 18.53."""
    _, macs = blocks_of("resnet34", side)
    assert tasks * sum(block.total for block in macs.values()) / 1e9 == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(("tasks", "published", "hard"), [(2, 33.35, 18.53), (3, 50.13, 18.53)])
def test_policies_of_the_published_cost_are_trees_of_any_cost(tasks: int, published: float, hard: float) -> None:
    """docs/adashare.md prints these bounds: what is common to tasks before they part runs once."""
    tree = cost(tasks)
    assert tree(np.ones((tasks, len(BLOCKS)), dtype=bool)) / 1e9 == pytest.approx(hard, rel=0.01)
    trees = [tree(policy) / 1e9 for policy in policies_of_published_cost(tasks, published, 20)]
    assert published / tasks <= 1.01 * min(trees)
    assert max(trees) <= 1.01 * published
    alike, apart = alike_and_apart(tasks, published)
    assert passes(alike) == pytest.approx(published, rel=0.01)
    assert passes(apart) == pytest.approx(published, rel=0.01)
    assert tree(alike) / 1e9 == pytest.approx(published / tasks, rel=0.01)
    assert tree(apart) / 1e9 > 0.98 * published


def alike_and_apart(tasks: int, published: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Policies of one cost: all tasks alike, and parted at the first blocks."""
    policies = policies_of_published_cost(1, published / tasks, 40)
    alike = np.concatenate([policies[0]] * tasks)
    starts: dict[tuple[bool, ...], NDArray[np.bool_]] = {}
    depth = 1 if tasks == 2 else 2
    for policy in policies:
        starts.setdefault(tuple(policy[0, :depth]), policy)
    return alike, np.concatenate(list(starts.values())[:tasks])


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
class TestFile:
    def test_rows_and_published_lines_are_there(self, name: str) -> None:
        assert tuple(rows_of(name)) == ROWS
        lines = [line.row() for line in comparison_of(name).published]
        # What is counted of whole models has no column for the operations of backbones.
        assert all(set(line.values) == {"backbone_gmac"} and "backbone alone" in line.convention for line in lines)
        assert [line.values["backbone_gmac"] for line in lines[:1]] == {
            "nyud_3tasks": [50.13],
            "cityscapes": [33.35],
        }.get(name, [])
        assert all(row.flops is None for experiment in rows_of(name).values() for row in experiment.published_rows())

    def test_recalled_figures_say_so(self, name: str) -> None:
        sources = [row.source for experiment in rows_of(name).values() for row in experiment.published_rows()]
        sources += [line.source for line in comparison_of(name).published]
        assert sources
        assert all(("recalled" in source) != ("train.py" in source) for source in sources)

    @pytest.mark.parametrize("row", ROWS)
    def test_networks_cost_their_trunks_and_heads(self, name: str, row: str) -> None:
        """Before a policy is decided on every task runs all blocks: AdaShare then costs what hard sharing costs."""
        built = built_of(name, row)
        counts = count(built.model, built.image_size)
        height, width = built.image_size
        positions = height * width // 64
        heads = sum(positions * 4 * (9 * 512 * 1024 + 1024 * 1024 + 1024 * task.channels) / 1e9 for task in built.tasks)
        _, macs = blocks_of("resnet18" if name == "nyud_2tasks" else "resnet34", height)
        trunk = sum(block.total for block in macs.values()) / 1e9
        copies = len(built.tasks) if row == "single_task" else 1
        assert counts.by_module["encoder"] / 1e9 == pytest.approx(copies * trunk)
        assert counts.by_module["decoder"] / 1e9 == pytest.approx(heads)
        assert heads / len(built.tasks) == pytest.approx(19.4 * (2 if height == 328 else 1), rel=0.02)

    @pytest.mark.parametrize("row", LEARNED)
    def test_recipe_has_the_published_steps(self, name: str, row: str) -> None:
        setting, stages, train = SETTINGS[name], built_of(name, row).model.recipe(), rows_of(name)[row].train
        epochs, per_epoch = stage_epochs(stages, train.epochs), setting.images // BATCH
        assert [stage.name for stage in stages] == ["warmup", "search", "retrain"]
        published = [setting.warmup, setting.search, setting.retrain]
        total = sum(published)
        assert [stage.share for stage in stages] == pytest.approx([steps / total for steps in published], abs=0.001)
        for length, steps in zip(epochs, published, strict=True):
            assert abs(length * per_epoch - steps) <= per_epoch / 2
        model = built_of(name, row).model
        for stage, length in zip(stages, epochs, strict=True):
            model.encoder.check_stage(stage.name, length)

    def test_search_is_the_published_one(self, name: str) -> None:
        setting, built = SETTINGS[name], built_of(name, "adashare")
        search = built.model.recipe()[1]
        weights, policy = search.turns
        assert dict(policy.penalties or {}) == dict(zip(("sparsity", "sharing"), setting.penalties, strict=True))
        assert dict(search.settings["optimizer"]) == {
            "name": "sgd",
            "lr": setting.rates[0],
            "momentum": 0.9,
            "weight_decay": 1e-4,
        }
        assert (weights.steps, policy.steps) == ((400, 100) if name == "taskonomy" else (None, None))
        assert (weights.epochs, policy.epochs) == (1.0, 1.0)
        assert built.model.encoder.search.curriculum_speed == setting.speed

    @pytest.mark.parametrize("row", ROWS)
    def test_rows_train_as_long_and_by_the_same_schedule(self, name: str, row: str) -> None:
        setting, train, base = SETTINGS[name], rows_of(name)[row].train, rows_of(name)["single_task"].train
        stages = built_of(name, row).model.recipe()
        assert stage_epochs(stages, train.epochs)[-1] == base.epochs
        assert replace(train, epochs=base.epochs) == base
        assert train.batch_size == BATCH
        backbone, heads = setting.rates
        assert train.optimizer == {"name": "adam", "lr": backbone, "betas": [0.5, 0.999], "weight_decay": 1e-4}
        assert train.lr_factors == ({} if heads == backbone else {"decoder.*": pytest.approx(heads / backbone)})

    def test_schedule_falls_as_published(self, name: str) -> None:
        setting, train = SETTINGS[name], rows_of(name)["single_task"].train
        per_epoch = setting.images // BATCH
        steps, factor = setting.lowered
        section = dict(train.schedule)
        assert section.pop("name") == "step"
        ours = [SCHEDULES.get("step")(Progress(0, 1, epoch, train.epochs), **section) for epoch in range(train.epochs)]
        assert ours == sorted(ours, reverse=True)
        decay = np.log(section["factor"]) / (section["every"] * per_epoch)
        assert decay == pytest.approx(np.log(factor) / steps, rel=0.02)

    def test_rows_of_equal_cost_lie_between_hard_sharing_and_the_published_passes(self, name: str) -> None:
        """Of the single-task networks, heads included; policies of that cost exist."""
        assert {rows_of(name)[row].encoder["budget"] for row in EQUAL} == {SETTINGS[name].budget}
        built = built_of(name, "random")
        encoder, heads = built.model.encoder, count(built.model, built.image_size).by_module["decoder"]
        cost_of = ModelCost(
            encoder.network,
            encoder.passes.chain,
            encoder.task_names,
            built.image_size,
            read_levels=built.model.read_levels(),
            decoder_macs=heads,
        )
        full = np.ones((len(encoder.task_names), len(encoder.gated)), dtype=bool)
        hard = cost_of(full) / cost_of.single_task
        passes_of_all = (0.9 * len(full) * (cost_of(full) - heads) + heads) / cost_of.single_task
        text = (FOLDER / f"adashare_{name}.yaml").read_text(encoding="utf-8")
        assert f"hard sharing ({hard:.2f}x)" in text
        assert f"({passes_of_all:.2f}x), heads included" in text
        budget = Budget.parse(SETTINGS[name].budget)
        assert budget.value == pytest.approx((hard + passes_of_all) / 2, abs=0.021)
        goal = Goal(budget, cost_of, cost_of.single_task, full.shape)
        goal.plan(None)
        assert goal.macs == pytest.approx(budget.value * cost_of.single_task)

    @pytest.mark.slow
    @pytest.mark.parametrize("row", [row for row in ROWS if row not in LEARNED])
    def test_deployed_rows_hold_the_blocks_that_a_task_runs(self, name: str, row: str) -> None:
        """Parameters of the networks on small images with narrow heads."""
        head = {"name": "deeplab_v2", "width": 8}
        small = replace(rows_of(name)[row], image_size=(64, 64), decoder={"name": "independent", "head": head})
        built = build(small)
        plan_encoder(built.model, built.image_size)
        tasks, network = built.tasks, BACKBONES.build(small.backbone)
        skipped: set[str] = set()
        if row in EQUAL:
            used = built.model.encoder.choice.mask().any(0)
            skipped = {block for block, runs in zip(GatedChain.of(network).gated, used, strict=True) if not runs}
        trunk = sum(
            folded_parameters(network.get_submodule(block.name), whole=block.name not in skipped)
            for block in network.blocks
        )
        heads = sum(4 * (9 * 512 * 8 + 8 * 8 + 8 * task.channels + 8 + 8 + task.channels) for task in tasks)
        copies = len(tasks) if row == "single_task" else 1
        assert sum(parameter.numel() for parameter in deploy(built.model).parameters()) == copies * trunk + heads


def folded_parameters(block: nn.Module, *, whole: bool) -> int:
    """Weights and, from folded normalisation, a bias per channel; of a block that nobody runs its projection's."""
    part = block if whole else getattr(block, "downsample", None)
    convs = [] if part is None else [module for module in part.modules() if isinstance(module, nn.Conv2d)]
    return sum(conv.weight.numel() + conv.out_channels for conv in convs)
