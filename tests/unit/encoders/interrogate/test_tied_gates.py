"""Gates tied along residual additions: one per channel and task for all sites whose channels are added."""

from __future__ import annotations

import operator
from functools import cache
from typing import Any

import pytest
import torch

from frugalmtl.channels import added_sites, graph_of
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.base import ModelContext
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.evaluation.cost import count
from frugalmtl.layers.gathering import gather
from tests.support.channels import CIFAR, SIZE, backbone, image, worst
from tests.support.gated import deployed, draw_gates, gated, set_gates

HRNET = "high_resolution_net"
KINDS = [
    CIFAR,
    "resnet",
    pytest.param("efficientnet", marks=pytest.mark.slow),
    pytest.param("vision_transformer", marks=pytest.mark.slow),
    pytest.param(HRNET, marks=pytest.mark.slow),
]


@cache
def tied(kind: str, tasks: int = 2, **settings: Any) -> InterroGate:
    """Gates are set by every test that uses it."""
    encoder = gated(kind, tasks, tie="residual", **settings)
    encoder.plan(ModelContext(SIZE, 0.0))
    return encoder


def test_blocks_of_a_stage_are_one_group() -> None:
    graph = graph_of(backbone(CIFAR))
    groups = added_sites(graph)
    assert len(graph.outputs) == 3
    assert len(groups) == 1, "one block a stage: only that of the first stage adds to a site of its width"
    assert len(groups[0]) == 2


def test_groups_have_one_width_and_no_site_twice() -> None:
    graph = graph_of(backbone("resnet"))
    groups = added_sites(graph)
    assert groups
    for group in groups:
        assert len(group) > 1
        assert len({graph.nodes[graph.sites[site]].channels for site in group}) == 1
    assert len({site for group in groups for site in group}) == sum(map(len, groups))


@pytest.mark.parametrize("kind", KINDS)
def test_deployed_equals_trained(kind: str) -> None:
    encoder = tied(kind)
    draw_gates(encoder, seed=3)
    private = encoder.gates.private()
    for group in added_sites(encoder.graph):
        assert all((private[site] == private[group[0]]).all() for site in group)
    plain = deployed(encoder)
    with torch.no_grad():
        assert worst(encoder(image()).by_task, plain(image())) <= 1e-4
    counted = count(plain, SIZE)
    assert encoder.macs_of() == pytest.approx(counted.macs, rel=1e-9)
    assert encoder.plan_of().parameters(encoder.shared) == counted.params


@pytest.mark.parametrize(("tie", "moves"), [("none", True), ("residual", False)])
def test_additions_move_no_channels(tie: str, moves: bool) -> None:
    encoder = gated("resnet", 3, tie=tie)
    draw_gates(encoder, seed=3)
    plain = deployed(encoder)
    assert isinstance(plain, torch.fx.GraphModule)
    additions = [node for node in plain.graph.nodes if node.target in (operator.add, operator.iadd)]
    sources = [source for node in additions for source in node.all_input_nodes]
    assert additions
    assert any(source.target is gather for source in sources) == moves


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("end", "open_gates"), [("single_task", True), ("hard_sharing", False)])
def test_both_ends_are_exact(kind: str, end: str, open_gates: bool) -> None:
    encoder = tied(kind)
    set_gates(encoder, torch.full_like(encoder.gates.alpha, float(open_gates)).bool())
    other = ENCODERS.build(end, backbone(kind), encoder.task_names).eval()
    weights = encoder.networks.state_dict() if open_gates else encoder.shared.state_dict()
    getattr(other, "networks" if open_gates else "network").load_state_dict(weights)
    plain, simple = deployed(encoder), deployed(other)
    with torch.no_grad():
        assert worst(other(image()).by_task, plain(image())) <= 1e-5
    counted, expected = count(plain, SIZE), count(simple, SIZE)
    assert (counted.params, counted.macs) == (expected.params, expected.macs)


def test_the_cost_of_a_gate_is_that_of_all_its_channels() -> None:
    apart, together = gated(CIFAR, 2), tied(CIFAR)
    both = [encoder.gates.cost * encoder.gates.places.gates for encoder in (apart, together)]
    assert together.gates.places.gates < apart.gates.places.gates
    # Relative costs have a mean of 1, so that these are shares of one and the same whole.
    for site, width in enumerate(together.gates.places.widths):
        start = sum(together.gates.places.widths[:site])
        gate = together.gates.places.columns[start]
        members = [place for place, column in enumerate(together.gates.places.columns) if column == gate]
        parts = sum(float(both[0][apart.gates.places.columns[place]]) for place in members)
        assert float(both[1][gate]) / float(both[1].sum()) == pytest.approx(parts / float(both[0].sum()), rel=1e-5)
        assert width == apart.gates.places.widths[site]


def test_a_budget_is_kept_at_good_widths() -> None:
    encoder = tied(CIFAR, 3, budget="0.6x", frozen_share=0.5, multiple=4)
    with torch.no_grad():
        encoder.gates.alpha.normal_(generator=torch.Generator().manual_seed(0)).add_(1.0)
    assert encoder.budget_control is not None
    encoder.budget_control.freeze(encoder.macs_of, float(encoder.goal))
    assert encoder.macs_of() == pytest.approx(float(encoder.goal), rel=0.05)
    for site, mask in enumerate(encoder.gates.private()):
        width = encoder.gates.places.widths[site]
        assert all(kept % 4 == 0 or kept == width for kept in mask.sum(1))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_penalty_pulls_a_gate_for_each_of_its_channels(reduction: str) -> None:
    """Under a sum all channels pull alike, so that a gate of n channels is pulled n times as hard as one of one."""
    encoder = tied(CIFAR, 2, reduction=reduction).train()
    encoder.enter_stage("joint")
    set_gates(encoder, torch.ones_like(encoder.gates.alpha).bool())
    encoder.gates.alpha.grad = None
    encoder(image()).penalties["sparsity"].backward()
    columns = torch.tensor(encoder.gates.places.columns)
    weight = torch.zeros(encoder.gates.places.gates).index_add_(0, columns, encoder.weighting)
    pull = encoder.gates.alpha.grad
    assert pull is not None
    torch.testing.assert_close(pull[0] / pull[0].sum(), weight / weight.sum())
    encoder.eval()
