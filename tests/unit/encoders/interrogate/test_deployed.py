"""Deployed InterroGate: same outputs, at the cost that the encoder predicts; both ends; files."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from frugalmtl.encoders import ENCODERS, Encoder
from frugalmtl.encoders.base import ModelContext
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.evaluation.cost import count
from frugalmtl.export import EXPORTERS
from tests.support.channels import CIFAR, KINDS, SIZE, TRANSFORMERS, VIT_STAGES, image, worst
from tests.support.gated import NAMES, deployed, draw_gates, gated, set_gates

VIT_SETTINGS = [
    {"attention": attention, "projection": projection}
    for attention in ("channels", "heads")
    for projection in (False, True)
]
CASES = [(kind, settings) for kind in KINDS for settings in (VIT_SETTINGS if kind in TRANSFORMERS[:3] else [{}])]
HEAVY = ("hrnet", "regnet")


def case_id(case: tuple[str, dict[str, Any]]) -> str:
    kind, settings = case
    return "-".join([kind, *(f"{key}={value}" for key, value in settings.items())])


def planned(encoder: InterroGate) -> InterroGate:
    """An encoder whose model has a decoder without cost."""
    encoder.plan(ModelContext(SIZE, 0.0))
    return encoder


@cache
def template(kind: str, tasks: int, items: tuple[tuple[str, Any], ...]) -> InterroGate:
    return planned(gated(kind, tasks, multiple=2, frozen_share=0.25, **dict(items)))


def make(kind: str, tasks: int, settings: dict[str, Any]) -> InterroGate:
    return deepcopy(template(kind, tasks, tuple(settings.items())))


# --- the property


def check(encoder: InterroGate) -> None:
    plain = deployed(encoder)
    levels = dict(zip(encoder.task_names, encoder.levels(), strict=True))
    with torch.no_grad():
        assert worst(encoder(image()).by_task, plain(image()), levels) <= 1e-4
    counted = count(plain, SIZE)
    assert counted.counted_on == "meta"
    assert encoder.macs_of() == pytest.approx(counted.macs, rel=1e-9)
    assert encoder.plan_of().parameters(encoder.shared) == counted.params


RANDOM = [pytest.param(kind, settings, id=case_id((kind, settings))) for kind, settings in CASES if kind not in HEAVY]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "settings"), RANDOM)
def test_random_gates(kind: str, settings: dict[str, Any]) -> None:
    encoder = make(kind, 2, settings)
    draw_gates(encoder, seed=len(kind))
    check(encoder)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tasks", [1, 3])
def test_random_gates_of_a_small_network(tasks: int, seed: int) -> None:
    encoder = make(CIFAR, tasks, {})
    draw_gates(encoder, seed)
    check(encoder)


@pytest.mark.parametrize("settings", VIT_SETTINGS[::2], ids=lambda settings: settings["attention"])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_heads_that_read_some_levels(settings: dict[str, Any], seed: int) -> None:
    for kind in ("resnet", VIT_STAGES):
        encoder = make(kind, 3, settings if "vision" in kind else {})
        encoder.read_levels = {NAMES[0]: (3,), NAMES[1]: (0, 2), NAMES[2]: (1,)}
        draw_gates(encoder, seed)
        check(encoder)


# --- both ends


def other(name: str, encoder: InterroGate) -> Encoder:
    return ENCODERS.build(name, backbone_of(encoder), encoder.task_names)


def backbone_of(encoder: InterroGate) -> Any:
    return deepcopy(encoder.shared)


ENDS = [
    pytest.param(kind, settings, id=case_id((kind, settings)), marks=[pytest.mark.slow] if kind in HEAVY else [])
    for kind, settings in CASES
    if not settings.get("projection")
]


@pytest.mark.parametrize(("kind", "settings"), ENDS)
def test_all_open_is_single_task(kind: str, settings: dict[str, Any]) -> None:
    encoder = make(kind, 2, settings)
    apart = other("single_task", encoder).eval()
    apart.networks.load_state_dict(encoder.networks.state_dict())
    plain, simple = deployed(encoder), deployed(apart)
    with torch.no_grad():
        expected = apart(image()).by_task
        # Attention of windows is fused in the graph, and rounds in another order than timm's.
        assert worst(expected, encoder(image()).by_task) <= (1e-5 if "swin_transformer" in kind else 0.0)
        assert worst(expected, plain(image())) <= 1e-5
    counted, expected_cost = count(plain, SIZE), count(simple, SIZE)
    assert (counted.params, counted.macs) == (expected_cost.params, expected_cost.macs)


@pytest.mark.parametrize(("kind", "settings"), ENDS)
def test_all_closed_is_one_shared_network(kind: str, settings: dict[str, Any]) -> None:
    encoder = make(kind, 2, settings)
    set_gates(encoder, torch.zeros_like(encoder.gates.alpha, dtype=torch.bool))
    together = other("hard_sharing", encoder).eval()
    together.network.load_state_dict(encoder.shared.state_dict())
    plain, simple = deployed(encoder), deployed(together)
    with torch.no_grad():
        expected = together(image()).by_task
        assert worst(expected, encoder(image()).by_task) <= 1e-4  # the mix of equal terms is rounded at every site
        assert worst(expected, plain(image())) <= 1e-5
    counted, expected_cost = count(plain, SIZE), count(simple, SIZE)
    assert (counted.params, counted.macs) == (expected_cost.params, expected_cost.macs)


def test_all_closed_with_projections_is_one_network_with_projections() -> None:
    encoder = make("vision_transformer", 2, {"projection": True})
    set_gates(encoder, torch.zeros_like(encoder.gates.alpha, dtype=torch.bool))
    check(encoder)
    one, bare = count(deployed(encoder), SIZE), count(other("hard_sharing", encoder), SIZE)
    blocks, width = len(encoder.shared.blocks) - 1, encoder.shared.channels[-1]  # the first embeds the patches
    extra = (one.params - bare.params) / (width * width + width)
    assert extra in (blocks - 1, blocks)


@pytest.mark.parametrize("kind", ["vision_transformer", VIT_STAGES])
def test_every_projection_is_read(kind: str) -> None:
    """Each block but the last has one, on what the next block reads."""
    encoder = make(kind, 2, {"projection": True}).train()
    features = encoder(image())
    torch.stack([level.square().mean() for pyramid in features.by_task.values() for level in pyramid]).sum().backward()
    places = [encoder.graph.sites[int(site)] for site in encoder.projections]
    users = encoder.graph.users()
    assert all(users[index] for index in places), "a projection that nobody reads"
    silent = [name for name, parameter in encoder.projections.named_parameters() if parameter.grad is None]
    assert not silent
    assert len(places) >= len(encoder.shared.blocks) - 2


# --- whole models and files


@pytest.mark.slow
def test_onnx_file_shrinks_with_the_parameters(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")

    class Levels(nn.Module):
        def __init__(self, encoder: nn.Module) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
            return {task: levels[-1] for task, levels in self.encoder(batch).items()}

    sizes, params = [], []
    for name, share in (("dense", 1.0), ("sparse", 0.1)):
        encoder = make("resnet", 3, {})
        encoder.read_levels = dict.fromkeys(encoder.task_names, (3,))
        generator = torch.Generator().manual_seed(0)
        set_gates(encoder, torch.rand(encoder.gates.alpha.shape, generator=generator) < share)
        plain = Levels(deployed(encoder)).eval()
        exported = EXPORTERS.build({"name": "onnx", "batch": 1})(plain, tmp_path / f"{name}.onnx", SIZE)
        assert exported.max_abs_difference <= 1e-4
        sizes.append(exported.bytes)
        params.append(count(plain, SIZE).params)
    assert params[1] < 0.6 * params[0]
    beside = [size - 4 * numbers for size, numbers in zip(sizes, params, strict=True)]
    assert all(0 < rest < 0.15 * sizes[0] for rest in beside), "weights, and a description that is small against them"
