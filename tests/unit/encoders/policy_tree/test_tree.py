"""Prefix trees: equal to separate masked passes, each block once per history, nothing stored that does not run."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from frugalmtl.backbones.views import macs_per_block, residual_blocks
from frugalmtl.core.checks import UserError
from frugalmtl.encoders._policy_tree import GatedChain, PolicyTree, plan_tree, run_tree, tree_macs
from frugalmtl.evaluation.cost import count
from tests.support.channels import SIZE, image, worst
from tests.support.views.residual import KINDS, residual_backbone
from tests.support.views.trees import Policy, draw_policies, masked_pass, norms_of

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
WITHOUT_NECK = [kind for kind in KINDS if kind != "vision_transformer"]


def union_of_pairs(
    chain: GatedChain, policies: dict[str, Policy], macs: dict[str, object], last: dict[str, int]
) -> float:
    """The sum over distinct (part of a block, history): by brute force over all tasks and blocks."""
    pairs: dict[tuple[str, str, Policy], float] = {}
    for task, policy in policies.items():
        number = 0
        for block in chain.blocks:
            history = policy[:number]
            part = macs[block.name]
            if block.stage <= last[task]:
                if not block.gated:
                    pairs[(block.name, "whole", history)] = part.total
                else:
                    pairs[(block.name, "shortcut", history)] = part.shortcut
                    if policy[number]:
                        pairs[(block.name, "branch", history)] = part.branch + part.after
            number += block.gated
    return sum(pairs.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree_equals_separate_masked_passes(kind: str, seed: int) -> None:
    network = residual_backbone(kind)
    chain = GatedChain.of(network)
    policies = draw_policies(len(chain.gated), 2 + seed % 3, seed)
    with torch.no_grad():
        expected = {task: masked_pass(network, policy, image()) for task, policy in policies.items()}
        plan = plan_tree(chain, policies)
        assert worst(expected, run_tree(plan, network, image())) <= 1e-4
        plain = PolicyTree(plan, deepcopy(network))
        assert worst(expected, plain(image())) <= 1e-4


@pytest.mark.parametrize("kind", WITHOUT_NECK)
@pytest.mark.parametrize("seed", SEEDS)
def test_counted_operations_are_the_distinct_pairs_of_block_and_history(kind: str, seed: int) -> None:
    network = residual_backbone(kind)
    chain = GatedChain.of(network)
    policies = draw_policies(len(chain.gated), 2 + seed % 3, 10 + seed)
    read = {"task1": (0,), "task0": tuple(range(len(network.channels)))} if seed % 2 else None
    macs = macs_per_block(network, SIZE)
    levels = {task: (read or {}).get(task, range(len(network.channels))) for task in policies}
    last = {task: max(chain.level_stages[level] for level in levels[task]) for task in policies}
    tree = PolicyTree(plan_tree(chain, policies, read), deepcopy(network))
    counted = count(tree, SIZE)
    assert counted.counted_on == "meta"
    assert counted.macs == union_of_pairs(chain, policies, macs, last) == tree_macs(policies, chain, macs, read)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS[:2])
def test_the_parameters_are_those_of_the_blocks_used(kind: str, seed: int) -> None:
    network = residual_backbone(kind)
    chain = GatedChain.of(network)
    policies = draw_policies(len(chain.gated), 2, 20 + seed)
    used = sum(parameter.numel() for parameter in network.parameters()) - sum(
        parameter.numel() for parameter in network.stages.parameters()
    )
    number = 0
    for name, view in residual_blocks(network).items():
        block: nn.Module | None = network.get_submodule(name)
        if view is not None:
            runs = any(policy[number] for policy in policies.values())
            block = block if runs else view.projection
            number += 1
        used += sum(parameter.numel() for parameter in block.parameters()) if block is not None else 0
    tree = PolicyTree(plan_tree(chain, policies), deepcopy(network))
    assert sum(parameter.numel() for parameter in tree.parameters()) == used


def test_gradients_are_those_of_the_separate_passes() -> None:
    network = residual_backbone("resnet")
    chain = GatedChain.of(network)
    policies = draw_policies(len(chain.gated), 3, 1)
    gradients = []
    for together in (True, False):
        network.zero_grad(set_to_none=True)
        pyramids = (
            run_tree(plan_tree(chain, policies), network, image())
            if together
            else {task: masked_pass(network, policy, image()) for task, policy in policies.items()}
        )
        torch.stack([level.square().mean() for pyramid in pyramids.values() for level in pyramid]).sum().backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    for name, gradient in gradients[0].items():
        other = gradients[1][name]
        assert (gradient is None) == (other is None), name
        if gradient is not None:
            torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)
    assert any(gradient is None for gradient in gradients[0].values()), "blocks that nobody runs get none"


def test_norms_see_the_tasks_that_run_their_block_once_per_history() -> None:
    """Two equal tasks count as one pass, a block that nobody runs stays as it was, a projection sees every history."""
    network = residual_backbone("resnet").train()
    chain = GatedChain.of(network)
    first = tuple(index % 2 == 0 for index in range(len(chain.gated)))
    other = (*first[:1], not first[1], *first[2:])
    run_tree(plan_tree(chain, {"a": first, "b": first, "c": other}), network, image(4))
    times = {}
    for name in chain.gated:
        view = residual_blocks(network)[name]
        inside = set(view.projection.modules()) if view.projection is not None else set()
        block = network.get_submodule(name)
        times[name] = {
            "branch": {int(norm.num_batches_tracked) for norm in norms_of(block) if norm not in inside},
            "projection": {int(norm.num_batches_tracked) for norm in norms_of(block) if norm in inside},
        }
    histories = [1 if number <= 1 else 2 for number in range(len(first))]
    for number, name in enumerate(chain.gated):
        running = len({policy[: number + 1] for policy in (first, other) if policy[number]})
        assert times[name]["branch"] == {running}, name
        assert times[name]["projection"] <= {histories[number]}, name


def test_equal_tasks_are_one_pass_with_the_same_tensors() -> None:
    network = residual_backbone("resnet")
    chain = GatedChain.of(network)
    policy = draw_policies(len(chain.gated), 1, 5)["task0"]
    with torch.no_grad():
        many = run_tree(plan_tree(chain, dict.fromkeys("abcd", policy)), network, image())
    assert all(level is other for level, other in zip(many["a"], many["d"], strict=True))
    macs = macs_per_block(network, SIZE)
    assert tree_macs(dict.fromkeys("abcd", policy), chain, macs) == tree_macs({"a": policy}, chain, macs)


@pytest.mark.parametrize("kind", ["resnet", "cifar-A", "convnext", "swin_transformer"])
def test_both_ends(kind: str) -> None:
    """All run: the backbone itself. All skip: what is not gated, and the projections."""
    network = residual_backbone(kind)
    chain = GatedChain.of(network)
    macs = macs_per_block(network, SIZE)
    blocks = len(chain.gated)
    with torch.no_grad():
        every = run_tree(plan_tree(chain, {"a": (True,) * blocks}), network, image())
        assert worst({"a": network(image())}, every) == 0.0
        bare = PolicyTree(plan_tree(chain, {"a": (False,) * blocks, "b": (False,) * blocks}), deepcopy(network))
        assert worst(dict.fromkeys("ab", masked_pass(network, (False,) * blocks, image())), bare(image())) <= 1e-5
    ends = (
        sum(part.total for part in macs.values()),
        sum(
            part.shortcut if block.gated else part.total
            for part, block in zip(macs.values(), chain.blocks, strict=True)
        ),
    )
    assert tree_macs({"a": (True,) * blocks}, chain, macs) == ends[0]
    assert tree_macs({"a": (False,) * blocks}, chain, macs) == ends[1] == count(bare, SIZE).macs


def test_a_whole_stage_may_be_skipped() -> None:
    network = residual_backbone("cifar-B")
    chain = GatedChain.of(network)
    stages = [block.stage for block in chain.blocks if block.gated]
    policies = {"a": tuple(stage != 1 for stage in stages), "b": tuple(stage != 2 for stage in stages)}
    with torch.no_grad():
        expected = {task: masked_pass(network, policy, image()) for task, policy in policies.items()}
        assert worst(expected, PolicyTree(plan_tree(chain, policies), deepcopy(network))(image())) <= 1e-5


def test_a_task_leaves_the_tree_behind_the_last_level_that_it_reads() -> None:
    network = residual_backbone("resnet")
    chain = GatedChain.of(network)
    blocks = len(chain.gated)
    policies = {"deep": (True,) * blocks, "fine": (*(True,) * (blocks - 1), False), "none": (False,) * blocks}
    plan = plan_tree(chain, policies, {"fine": (0, 1), "none": ()})
    with torch.no_grad():
        pyramids = PolicyTree(plan, deepcopy(network))(image())
        expected = network(image())
    assert all(level is other for level, other in zip(pyramids["fine"][:2], pyramids["deep"][:2], strict=True))
    torch.testing.assert_close(pyramids["deep"], expected)
    assert [level.shape for level in pyramids["none"]] == [image().shape] * len(expected), "the image stands in"
    assert len(plan.steps) == len(chain.blocks)
    macs = macs_per_block(network, SIZE)
    assert tree_macs(policies, chain, macs, {"fine": (0, 1), "none": ()}) == sum(part.total for part in macs.values())


def test_some_blocks_may_be_left_to_run_always() -> None:
    network = residual_backbone("resnet")
    chain = GatedChain.of(network)
    later = GatedChain.of(network, chain.gated[2:])
    assert later.gated == chain.gated[2:]
    policies = draw_policies(len(later.gated), 2, 3)
    with torch.no_grad():
        expected = {task: masked_pass(network, (True, True, *policy), image()) for task, policy in policies.items()}
        assert worst(expected, run_tree(plan_tree(later, policies), network, image())) <= 1e-5
    with pytest.raises(UserError, match=r"stages\.0\.0 has no shortcut"):
        GatedChain.of(network, ["stages.0.0"])
    with pytest.raises(UserError, match="unknown block"):
        GatedChain.of(network, ["stages.9.0"])


def test_a_policy_of_another_length_is_refused() -> None:
    chain = GatedChain.of(residual_backbone("resnet"))
    with pytest.raises(UserError, match=r"'a' must say of each of the \d+ gated blocks .* but has 2 entries"):
        plan_tree(chain, {"a": (True, False)})


def test_states_are_let_go_when_nothing_reads_them() -> None:
    network = residual_backbone("resnet")
    plan = plan_tree(GatedChain.of(network), {"a": (True,) * len(GatedChain.of(network).gated)})
    kept = {number for states in plan.states.values() for number in states.values()}
    dropped = {number for step in plan.steps for number in step.last}
    assert dropped.isdisjoint(kept | {0})
    assert len(dropped) + len(kept) == len(plan.steps)


@pytest.mark.parametrize("kind", ["resnet", "cifar-B", "swin_transformer"])
def test_histories_share_the_calls_of_a_block_in_eval_mode_alone(kind: str) -> None:
    """One call per block on all histories; in training mode one per history, for the sake of the norms."""
    network = residual_backbone(kind)
    chain = GatedChain.of(network)
    blocks = len(chain.gated)
    policies = {
        "a": (True,) * blocks,
        "b": (False, *(True,) * (blocks - 1)),
        "c": (True, False, *(True,) * (blocks - 2)),
    }
    plan = plan_tree(chain, policies)
    calls: list[int] = []
    last = network.get_submodule(chain.gated[-1])
    last.register_forward_pre_hook(lambda _module, arguments: calls.append(len(arguments[0])))
    with torch.no_grad():
        expected = {task: masked_pass(network, policy, image(2)) for task, policy in policies.items()}
        calls.clear()
        assert worst(expected, run_tree(plan, network, image(2))) <= 1e-4
        assert calls == [6]
        run_tree(plan, network.train(), image(2))
        assert calls == [6, 2, 2, 2]
