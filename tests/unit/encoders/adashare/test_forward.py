"""AdaShare's forward passes: warm-up, soft and hard search, discrete policies, wanted tasks, the cut."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Pyramid
from frugalmtl.encoders.adashare.encoder import AdaShare
from tests.support.channels import image
from tests.support.views.adashare import CIFAR, decided, deployed, searching, set_odds, sharing
from tests.support.views.trees import masked_pass

KINDS = (CIFAR, "dilated", "bottleneck", "convnext", "vision_transformer", "swin_transformer", "mobilenetv2")


def mixed_pass(encoder: AdaShare, task: str, draws: Tensor, picture: Tensor) -> Pyramid:
    """One task's mixture, block by block, by the formula as it is written."""
    network, state, states, number = encoder.network, picture, {}, 0
    for info in network.blocks:
        residual = encoder.residuals[info.name]
        if residual is None:
            state = network.get_submodule(info.name)(state)
        else:
            chance = draws[encoder.task_names.index(task), number]
            left = residual.shortcut(state)
            state = chance * residual.after(left + residual.branch(state)) + (1 - chance) * left
            number += 1
        states[info.stage] = state
    return network.pyramid(states)


def difference(first: Pyramid, second: Pyramid) -> float:
    return max(
        float((a - b).detach().abs().max() / b.detach().abs().max().clamp(min=1))
        for a, b in zip(first, second, strict=True)
    )


def runs_of(encoder: AdaShare, picture: Tensor) -> dict[str, int]:
    """On how many histories each block's branch runs in one pass in the present mode."""
    counts = dict.fromkeys(encoder.gated, 0)
    handles = []
    for name in encoder.gated:
        layer = next(part for part in encoder.network.get_submodule(name).modules() if not list(part.children()))

        def counted(_: object, inputs: tuple[Tensor, ...], *_more: object, name: str = name) -> None:
            counts[name] += len(inputs[0]) // len(picture)  # histories may run as one batch

        handles.append(layer.register_forward_hook(counted))
    encoder(picture)
    for handle in handles:
        handle.remove()
    return counts


@pytest.mark.parametrize("kind", KINDS)
def test_soft_search_is_the_published_mixture(kind: str) -> None:
    encoder = sharing(kind)
    set_odds(encoder, 1)
    searching(encoder, cycle=100)
    encoder.network.eval()
    seed_everything(2)
    features = encoder(image())
    seed_everything(2)
    draws = encoder.policy.sample(hard=False)
    for task in encoder.task_names:
        assert difference(features.by_task[task], mixed_pass(encoder, task, draws, image())) < 1e-4


def test_blocks_before_the_first_open_one_run_once_for_all_tasks() -> None:
    encoder = searching(sharing(curriculum_speed=2), cycle=2)
    counts = list(runs_of(encoder, image()).values())
    assert counts == [1] * (len(counts) - 1) + [3]  # the first open block reads one state for all tasks
    assert list(runs_of(searching(encoder, cycle=0), image()).values()) == [1] * len(counts)
    everything = searching(sharing(curriculum_speed=0), cycle=0)
    assert list(runs_of(everything, image()).values()) == [1] + [3] * (len(counts) - 1)


def test_warm_up_is_one_pass_of_the_whole_network() -> None:
    encoder = sharing()
    set_odds(encoder, 1)
    encoder.enter_stage("warmup")
    assert set(runs_of(encoder.train(), image()).values()) == {1}
    encoder.eval()
    features = encoder(image())
    expected = encoder.network(image())
    for pyramid in features.by_task.values():
        assert difference(pyramid, expected) < 1e-6
    assert all(level is other for level, other in zip(*list(features.by_task.values())[:2], strict=True))
    assert features.penalties == {}


def test_every_logit_learns_from_both_ways_in_a_policy_turn() -> None:
    """A hard draw too: what it skips is run, or its logits would not learn what running is worth."""
    for hard in (False, True):
        encoder = searching(sharing(hard=hard, curriculum_speed=0), cycle=0)
        seed_everything(4)
        features = encoder(image())
        torch.stack(
            [level.square().mean() for pyramid in features.by_task.values() for level in pyramid]
        ).sum().backward()
        for task in encoder.task_names:
            gradient = encoder.policy.logits[task].grad
            assert gradient is not None
            assert (gradient.abs().sum(1) > 0).all()


def test_hard_search_runs_the_tree_of_the_draw_in_a_turn_of_the_weights() -> None:
    encoder = searching(sharing(hard=True, curriculum_speed=0), "weights")
    encoder.network.eval()
    set_odds(encoder, 3)
    seed_everything(5)
    counts = runs_of(encoder, image())
    seed_everything(5)
    draws = encoder.policy.sample(hard=True) > 0.5
    seed_everything(5)
    features = encoder(image())
    for task, row in zip(encoder.task_names, draws.tolist(), strict=True):
        assert difference(features.by_task[task], masked_pass(encoder.network, row, image())) < 1e-4
    histories = [{tuple(row[:number]) for row in draws.tolist() if row[number]} for number in range(len(encoder.gated))]
    assert list(counts.values()) == [len(distinct) for distinct in histories]
    assert sum(counts.values()) < 3 * len(counts)


def test_hard_search_keeps_blocks_that_are_not_open() -> None:
    encoder = searching(sharing(hard=True), "weights", cycle=0)
    with torch.no_grad():
        for logits in encoder.policy.logits.values():
            logits.copy_(torch.tensor([-30.0, 30.0]))
    assert list(runs_of(encoder, image()).values()) == [1] * (len(encoder.gated) - 1) + [0]


def test_evaluation_in_a_search_runs_the_most_likely_policy_of_open_blocks() -> None:
    encoder = sharing(curriculum_speed=1)
    set_odds(encoder, 1)
    searching(encoder, cycle=1).eval()
    features = encoder(image())
    for row, task in zip(encoder.policy.log_odds() >= 0, encoder.task_names, strict=True):
        policy = [True] * (len(row) - 2) + row[-2:].tolist()
        assert difference(features.by_task[task], masked_pass(encoder.network, policy, image())) < 1e-4
    torch.manual_seed(0)
    again = encoder(image())
    assert all(torch.equal(a, b) for a, b in zip(features.by_task["far"], again.by_task["far"], strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["warmup", "search", "retrain"])
def test_deployed_equals_evaluation_in_every_stage(kind: str, stage: str) -> None:
    encoder = sharing(kind)
    set_odds(encoder, 2)
    if stage == "search":
        searching(encoder, cycle=1)
    encoder.enter_stage(stage)
    encoder.eval()
    with torch.no_grad():
        expected = encoder(image()).by_task
        outputs = deployed(encoder)(image())
    assert list(outputs) == list(encoder.task_names)
    for task, pyramid in expected.items():
        assert difference(outputs[task], pyramid) < 1e-4


def test_only_wanted_tasks_run() -> None:
    rows = [[1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1]]
    encoder = decided(sharing(), rows)
    whole = encoder(image()).by_task
    encoder.encode(image(), tasks=("far",))
    features = encoder.branch(encoder.encode(image(), tasks=("far",)), tasks=("far",))
    assert list(features.by_task) == ["far"]
    assert difference(features.by_task["far"], whole["far"]) < 1e-6
    handle = encoder.network.get_submodule(encoder.gated[2]).register_forward_hook(refuse)
    encoder.encode(image(), tasks=("near", "far"))
    handle.remove()
    soft = searching(deepcopy(encoder))
    assert list(soft.branch(soft.encode(image(), tasks=("edge",)), tasks=("edge",)).by_task) == ["edge"]


def refuse(*_: object) -> None:
    raise AssertionError("no wanted task runs this block")


def test_the_cut_holds_every_level_once() -> None:
    rows = [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1]]
    encoder = decided(sharing(), rows)
    cut = encoder.encode(image())
    levels = len(encoder.channels)
    assert len({id(tensor) for tensor in cut}) == len(cut)
    assert levels < len(cut) < 3 * levels
    assert cut[0] is encoder.branch(cut).by_task["far"][0]
    soft = searching(encoder, cycle=0)
    assert len(soft.encode(image())) == levels + 2  # the last block alone is open, so only the last level differs


def test_statistics_and_penalties_of_a_search() -> None:
    encoder = searching(sharing(), cycle=3)
    features = encoder(image())
    assert set(features.penalties) == {"sparsity", "sharing"}
    statistics = features.statistics
    assert set(statistics) == {"run.near", "run.far", "run.edge", "tau", "open_blocks"}
    assert float(statistics["tau"]) == pytest.approx(5 * 0.965**3)
    assert float(statistics["open_blocks"]) == 4.0
    assert float(statistics["run.near"]) == pytest.approx((2 * 1.0 + 4 * 0.5) / 6)
    assert not any(value.requires_grad for value in statistics.values())
