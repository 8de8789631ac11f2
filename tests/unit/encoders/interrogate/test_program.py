"""The deployed network: same outputs, and exactly the operations and weights that the gates leave."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from frugalmtl.channels.operations import (
    Attention,
    Dense,
    Each,
    Grouped,
    Image,
    Part,
    PatchEmbedding,
    Permute,
    Sum,
    Whole,
)
from frugalmtl.encoders import ENCODERS, Encoder
from frugalmtl.encoders.base import ModelContext
from frugalmtl.encoders.interrogate import InterroGate
from frugalmtl.evaluation.cost import count
from frugalmtl.export import EXPORTERS
from tests.unit.encoders.interrogate.helpers import (
    CIFAR,
    KINDS,
    NAMES,
    SIZE,
    VIT_STAGES,
    deployed,
    draw_gates,
    gated,
    image,
    set_gates,
    worst,
)

VIT_SETTINGS = [
    {"attention": attention, "projection": projection}
    for attention in ("channels", "heads")
    for projection in (False, True)
]
CASES = [(kind, settings) for kind in KINDS for settings in (VIT_SETTINGS if "vit" in kind else [{}])]
HEAVY = ("hrnet_w18_small", "regnetx_002")


def case_id(case: tuple[str, dict[str, Any]]) -> str:
    kind, settings = case
    return "-".join([kind, *(f"{key}={value}" for key, value in settings.items())])


def planned(encoder: InterroGate) -> InterroGate:
    """An encoder that was told that nothing stands around it."""
    encoder.plan(ModelContext(SIZE, 0.0))
    return encoder


@cache
def template(kind: str, tasks: int, items: tuple[tuple[str, Any], ...]) -> InterroGate:
    return planned(gated(kind, tasks, multiple=2, frozen_share=0.25, **dict(items)))


def make(kind: str, tasks: int, settings: dict[str, Any]) -> InterroGate:
    return deepcopy(template(kind, tasks, tuple(settings.items())))


# --- an independent account of what is left


class Needs:
    """Per channel and branch, from the outputs on: who computes what. Branch T is the shared one."""

    def __init__(self, encoder: InterroGate) -> None:
        self.encoder, self.graph = encoder, encoder.graph
        self.own = encoder.gates.own()
        self.shared = len(encoder.task_names)
        self.made: dict[tuple[int, int], set[int]] = {}
        self.projected: set[int] = set()
        waiting = [
            (task, self.graph.outputs[level], channel)
            for task, levels in enumerate(encoder.levels())
            for level in levels
            for channel in range(self.graph.nodes[self.graph.outputs[level]].channels)
        ]
        seen = set(waiting)
        while waiting:
            for item in self.read(*waiting.pop()):
                if item not in seen:
                    seen.add(item)
                    waiting.append(item)

    def read(self, branch: int, index: int, channel: int) -> list[tuple[int, int, int]]:
        node = self.graph.nodes[index]
        if node.site is None:
            return self.compute(branch, index, channel)
        if branch < self.shared:
            mine = bool(self.own[node.site][branch, channel])
            return self.compute(branch if mine else self.shared, index, channel)
        channels = [channel]
        if str(node.site) in self.encoder.projections:
            self.projected.add(node.site)
            channels = list(range(node.channels))
        return [(task, index, other) for task in range(self.shared) for other in channels]

    def compute(self, branch: int, index: int, channel: int) -> list[tuple[int, int, int]]:
        node = self.graph.nodes[index]
        operation, made = node.operation, self.made.setdefault((branch, index), set())
        if channel in made:
            return []
        widths = [self.graph.nodes[source].channels for source in node.inputs]
        together, reads = [channel], [(source, channel) for source in node.inputs]
        if isinstance(operation, Image):
            reads = []
        elif isinstance(operation, Dense):
            reads = [(node.inputs[0], other) for other in range(widths[0])]
        elif isinstance(operation, Grouped):
            group = channel // operation.unit
            together = list(range(group * operation.unit, (group + 1) * operation.unit))
            size = widths[0] // operation.groups
            reads = [(node.inputs[0], group * size + other) for other in range(size)]
        elif isinstance(operation, Whole):
            together = list(range(node.channels))
            reads = [(node.inputs[0], other) for other in range(widths[0])]
        elif isinstance(operation, Attention):
            head = channel // operation.unit
            together = list(range(head * operation.unit, (head + 1) * operation.unit))
            reads = [(source, other) for source in node.inputs for other in together]
        elif isinstance(operation, Part):
            reads = [(node.inputs[0], operation.start + channel)]
        else:
            assert isinstance(operation, Each | Sum | Permute)
        made.update(together)
        return [(branch, source, other) for source, other in reads]

    def parameters(self) -> int:
        total = 0
        for (branch, index), channels in self.made.items():
            node = self.graph.nodes[index]
            if node.operation.target is None:
                continue
            network = [*self.encoder.networks.values(), self.encoder.shared][branch]
            total += _numbers(network.get_submodule(node.operation.target), node.operation, len(channels))
        for site in self.projected:
            width = self.graph.nodes[self.graph.sites[site]].channels
            total += width * width + width
        return total


def _numbers(module: nn.Module, operation: Any, kept: int) -> int:
    if isinstance(operation, PatchEmbedding):
        positions = module.pos_embed.shape[1:-1].numel() * kept
        return positions + _numbers(module.patch_embed.proj, Dense(), kept)
    if isinstance(operation, Dense):
        inputs = module.weight.shape[0 if isinstance(module, nn.ConvTranspose2d) else 1]
        kernel = module.weight.shape[2:].numel()
        return kept * inputs * kernel + (kept if module.bias is not None else 0)
    if isinstance(operation, Grouped):
        return kept * module.weight[0].numel() + (kept if module.bias is not None else 0)
    if isinstance(operation, Attention):
        return sum(p.numel() for norm in (module.q_norm, module.k_norm) for p in norm.parameters())
    if isinstance(operation, Whole):
        return sum(parameter.numel() for parameter in module.parameters())
    return sum(parameter[0].numel() * kept for parameter in module.parameters())


# --- the property


def check(encoder: InterroGate) -> None:
    plain = deployed(encoder)
    levels = dict(zip(encoder.task_names, encoder.levels(), strict=True))
    with torch.no_grad():
        assert worst(encoder(image()).by_task, plain(image()), levels) <= 1e-4
    counted = count(plain, SIZE)
    assert counted.counted_on == "meta"
    assert encoder.macs_of() == pytest.approx(counted.macs, rel=1e-9)
    assert counted.params == Needs(encoder).parameters()


QUICK = {
    "test_resnet": 3,
    "test_efficientnet": 2,
    "test_vit-attention=channels-projection=False": 2,
    "test_vit-attention=heads-projection=False": 3,
    "test_vit-attention=channels-projection=True": 2,
    "test_vit-stages-attention=heads-projection=True": 2,
    "regnetx_002": 2,
    "mobilenetv3_small_050": 2,
    "cifar_resnet": 4,
}
"""Cases that always run, with their number of tasks; the others are slow ones."""

RANDOM = [
    pytest.param(
        kind,
        settings,
        tasks,
        id=f"{case_id((kind, settings))}-{tasks}",
        marks=[] if QUICK.get(case_id((kind, settings))) == tasks else [pytest.mark.slow],
    )
    for kind, settings in CASES
    for tasks in ((2, 3) if kind in HEAVY else (1, 2, 3, 4))
]


@pytest.mark.parametrize(("kind", "settings", "tasks"), RANDOM)
def test_random_gates(kind: str, settings: dict[str, Any], tasks: int) -> None:
    encoder = make(kind, tasks, settings)
    draw_gates(encoder, seed=10 * tasks + len(kind))
    check(encoder)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_random_gates_of_a_small_network(tasks: int, seed: int) -> None:
    encoder = make(CIFAR, tasks, {})
    draw_gates(encoder, seed)
    check(encoder)


@pytest.mark.parametrize("settings", VIT_SETTINGS[::2], ids=lambda settings: settings["attention"])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_heads_that_read_some_levels(settings: dict[str, Any], seed: int) -> None:
    for kind in ("test_resnet", VIT_STAGES):
        encoder = make(kind, 3, settings if "vit" in kind else {})
        encoder.read_levels = {NAMES[0]: (3,), NAMES[1]: (0, 2), NAMES[2]: (1,)}
        draw_gates(encoder, seed)
        check(encoder)


def test_unread_branches_are_gone() -> None:
    encoder = make("test_resnet", 2, {})
    full = encoder.macs_of()
    encoder.read_levels = {NAMES[0]: (0,), NAMES[1]: (0,)}
    assert encoder.macs_of() < 0.8 * full
    check(encoder)
    encoder.read_levels = {NAMES[0]: (0, 1, 2, 3), NAMES[1]: ()}
    assert encoder.macs_of() == pytest.approx(full / 2), "all gates are open: the second task's network is dead"
    check(encoder)


def test_a_task_that_is_not_predicted_lives_on_where_the_shared_branch_hears_it() -> None:
    encoder = make(CIFAR, 2, {})
    encoder.read_levels = {NAMES[0]: (2,), NAMES[1]: ()}
    choice = torch.ones_like(encoder.gates.alpha, dtype=torch.bool)
    choice[0, encoder.gates.places.columns[-1]] = False  # one channel of the last level is the shared branch's
    set_gates(encoder, choice)
    check(encoder)
    names = [name for name, _ in deployed(encoder).named_children()]
    assert any(name.endswith("_1") for name in names), "the mix holds the second task's features"


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
        assert worst(expected, encoder(image()).by_task) == 0.0
        assert worst(expected, plain(image())) <= 1e-5
    counted, wanted = count(plain, SIZE), count(simple, SIZE)
    assert (counted.params, counted.macs) == (wanted.params, wanted.macs)


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
    counted, wanted = count(plain, SIZE), count(simple, SIZE)
    assert (counted.params, counted.macs) == (wanted.params, wanted.macs)


def test_all_closed_with_projections_is_one_network_with_projections() -> None:
    encoder = make("test_vit", 2, {"projection": True})
    set_gates(encoder, torch.zeros_like(encoder.gates.alpha, dtype=torch.bool))
    check(encoder)
    one, bare = count(deployed(encoder), SIZE), count(other("hard_sharing", encoder), SIZE)
    blocks, width = len(encoder.shared.blocks) - 1, encoder.shared.channels[-1]  # the first embeds the patches
    extra = (one.params - bare.params) / (width * width + width)
    assert extra in (blocks - 1, blocks)


@pytest.mark.parametrize("kind", ["test_vit", VIT_STAGES])
def test_every_projection_is_heard(kind: str) -> None:
    """Each block but the last has one, on what the next block reads."""
    encoder = make(kind, 2, {"projection": True}).train()
    features = encoder(image())
    torch.stack([level.square().mean() for pyramid in features.by_task.values() for level in pyramid]).sum().backward()
    places = [encoder.graph.sites[int(site)] for site in encoder.projections]
    assert all(encoder.users[index] for index in places), "a projection behind which nobody listens"
    silent = [name for name, parameter in encoder.projections.named_parameters() if parameter.grad is None]
    assert not silent
    assert len(places) >= len(encoder.shared.blocks) - 2


# --- a sparse layer's cost


def test_layers_hold_exactly_the_kept_filters() -> None:
    """Spelled out: two tasks, the first convolution of a basic block."""
    encoder = make(CIFAR, 2, {})
    graph, places = encoder.graph, encoder.gates.places
    site = next(node.site for node in graph.nodes if node.layer == "stages.0.1.conv1" and node.site is not None)
    start = sum(places.widths[:site])
    choice = torch.zeros_like(encoder.gates.alpha, dtype=torch.bool)
    choice[0, start : start + 3] = True  # channels 0 to 2
    choice[1, start + 2] = True  # channel 2: nobody takes the shared one
    set_gates(encoder, choice)
    plain = dict(deployed(encoder).named_modules())
    kept = {name: plain[f"stages_0_1_conv1_{name}"].weight.shape for name in ("0", "1", "shared")}
    width = places.widths[site]
    assert kept == {"0": (3, width, 3, 3), "1": (1, width, 3, 3), "shared": (width - 1, width, 3, 3)}
    check(encoder)


def test_common_heads_are_attended_once() -> None:
    """Both tasks run the first block's projection on heads that they took from the shared branch: those are one."""
    encoder = make("test_vit", 2, {"attention": "heads"})
    graph, places = encoder.graph, encoder.gates.places
    attention = next(index for index, node in enumerate(graph.nodes) if isinstance(node.operation, Attention))
    heads, queries = graph.nodes[attention].operation.heads, graph.nodes[graph.nodes[attention].inputs[0]]
    assert queries.site is not None
    behind = next(node.site for node in graph.nodes[attention:] if node.site is not None)
    start = [sum(places.widths[:site]) for site in range(len(places.widths) + 1)]
    choice = torch.zeros_like(encoder.gates.alpha, dtype=torch.bool)
    choice[:, list(places.columns[start[behind] : start[behind + 1]])] = True
    set_gates(encoder, choice)
    once = encoder.macs_of()
    check(encoder)
    choice[0, places.columns[start[queries.site]]] = True  # one head of the first task is its own
    set_gates(encoder, choice)
    check(encoder)
    more = encoder.node_macs[attention] / heads + encoder.node_macs[queries.inputs[0]] / heads
    assert encoder.macs_of() - once == pytest.approx(more)


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
        encoder = make("test_resnet", 3, {})
        encoder.read_levels = dict.fromkeys(encoder.task_names, (3,))
        generator = torch.Generator().manual_seed(0)
        set_gates(encoder, torch.rand(encoder.gates.alpha.shape, generator=generator) < share)
        plain = Levels(deployed(encoder)).eval()
        exported = EXPORTERS.build({"name": "onnx", "dynamic_batch": False})(plain, tmp_path / f"{name}.onnx", SIZE)
        assert exported.max_abs_difference <= 1e-4
        sizes.append(exported.bytes)
        params.append(count(plain, SIZE).params)
    assert params[1] < 0.6 * params[0]
    beside = [size - 4 * numbers for size, numbers in zip(sizes, params, strict=True)]
    assert all(0 < rest < 0.15 * sizes[0] for rest in beside), "weights, and a description that is small against them"
