"""The training form: what is drawn and when, tasks in focus, and what each stage trains."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from frugalmtl.core.seeding import seed_everything
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.adamtl.encoder import AdaMTLEncoder
from frugalmtl.encoders.adamtl.training.forward import PlaceTables
from tests.support.backbones import tiny_backbone

TASKS = ("near", "far")


def build(kind: str = "swin_transformer", **options: object) -> AdaMTLEncoder:
    seed_everything(0)
    encoder = ENCODERS.build({"name": "adamtl", **options}, tiny_backbone(kind), TASKS)
    assert isinstance(encoder, AdaMTLEncoder)
    return encoder


def image(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def biased(encoder: AdaMTLEncoder, task: str, logit: float) -> None:
    """Let all policies of a task give about this logit."""
    with torch.no_grad():
        for name, parameter in encoder.policies.nets[task].named_parameters():
            if name.endswith(("logits.bias", "logit.bias")):
                parameter.fill_(logit)


@pytest.mark.parametrize("policy", ["learned", "random"])
def test_nothing_is_drawn_in_eval_mode_and_images_do_not_see_each_other(policy: str) -> None:
    encoder, batch = build(policy=policy).eval(), image(4)
    before = torch.get_rng_state()
    first = encoder.decide(batch)
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in encoder.decide(batch.flip(0)).items():
        assert torch.equal(value.flip(0), first[name]), name
    for name, value in encoder.decide(batch[2:3]).items():
        assert torch.equal(value[0], first[name][2]), name


def test_policies_draw_apart_so_that_all_else_begins_as_without_them() -> None:
    drawn = {}
    for policy in ("learned", "random"):
        encoder = build(policy=policy)
        drawn[policy] = torch.rand(3)  # as a decoder would
        if policy == "learned":
            first = encoder.policies.nets["near"].state_dict()
            again = build(policy=policy).policies.nets["near"].state_dict()
            assert all(torch.equal(again[name], value) for name, value in first.items())
    assert torch.equal(drawn["learned"], drawn["random"])


def test_tokens_of_a_block_that_is_off_are_off() -> None:
    encoder = build().eval()
    decided = encoder.decide(image(8))
    seen = set()
    for stage in encoder.stages:
        for number, block in enumerate(stage.blocks):
            runs = decided[stage.decision][:, number]
            seen |= set(runs.tolist())
            assert not decided[f"tokens.{block}"][~runs].any()
    assert seen == {True, False}


def test_training_draws_and_its_shares_are_those_of_the_masks() -> None:
    encoder = build().train()
    seed_everything(1)
    one = encoder(image()).statistics["tokens_on"]
    other = encoder(image()).statistics["tokens_on"]
    assert one != other
    for task in TASKS:
        biased(encoder, task, 50.0)
    features = encoder(image())
    values = {name: value.item() for name, value in features.statistics.items()}
    assert values["blocks_on"] == values["tokens_on"] == values["blocks_on.far"] == 1.0
    assert (values["blocks_target"], values["alpha_blocks"]) == (pytest.approx(0.9), 1.0)
    assert features.penalties["blocks"].item() == pytest.approx(0.01)
    assert features.penalties["tokens"].item() == pytest.approx(0.16)


def test_what_all_policies_want_is_the_backbone() -> None:
    encoder = build().eval()
    for task in TASKS:
        biased(encoder, task, 50.0)
    expected = encoder.network(image())
    for level, other in zip(encoder(image()).by_task["far"], expected, strict=True):
        torch.testing.assert_close(level, other)


def test_the_masks_of_the_task_in_focus_count_alone() -> None:
    encoder = build().train()
    biased(encoder, "near", 50.0)
    biased(encoder, "far", -50.0)
    encoder.enter_stage("adaptive")
    shares = {}
    for turn in TASKS:
        encoder.enter_turn(turn, 0)
        shares[turn] = encoder(image()).statistics["blocks_on"].item()
    assert shares == {"near": 1.0, "far": 0.0}
    encoder.eval()  # the deployed model runs for all tasks, whatever the turn
    assert encoder(image()).statistics["blocks_on"].item() == 1.0
    encoder.train().enter_stage("joint")
    assert encoder(image()).statistics["blocks_on"].item() == 1.0
    far = encoder.branch(encoder.encode(image(), ("far",)), ("far",))
    assert far.statistics["blocks_on"].item() == 0.0


def test_only_the_policies_of_the_turn_learn() -> None:
    encoder = build().train()
    encoder.enter_stage("adaptive")
    encoder.enter_turn("far", 0)
    features = encoder(image())
    (features.penalties["blocks"] + features.penalties["tokens"]).backward()
    reached = {name.split(".")[1] for name, p in encoder.policies.named_parameters() if p.grad is not None}
    assert reached == {"far"}


def test_all_runs_before_the_policies_count() -> None:
    encoder = build("vision_transformer")  # without stochastic depth
    for task in TASKS:
        biased(encoder, task, -50.0)
    expected = encoder.network.eval()(image())
    for stage in ("static", "policy_init"):
        encoder.enter_stage(stage)
        for mode in (True, False):
            encoder.train(mode)
            for level, other in zip(encoder(image()).by_task["near"], expected, strict=True):
                torch.testing.assert_close(level, other)
        assert all(value.all() for value in encoder.decide(image()).values())
    encoder.enter_stage("joint")
    assert not any(value.any() for value in encoder.decide(image()).values())


def test_policies_learn_to_be_on_by_soft_masks() -> None:
    encoder = build("vision_transformer").train()
    encoder.enter_stage("policy_init")
    penalties = encoder(image()).penalties
    blocks = sum(len(stage.blocks) for stage in encoder.stages)
    assert 0 < penalties["policies_on"].item() < 2 * 2 * blocks
    assert penalties["blocks"] == penalties["tokens"] == 0
    optimizer = torch.optim.Adam(encoder.policies.parameters(), lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        encoder(image()).penalties["policies_on"].backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in encoder.policies.parameters())
    encoder.eval().enter_stage("adaptive")
    assert all(value.all() for value in encoder.decide(image()).values())
    for task in TASKS:
        biased(encoder, task, 1e3)
    encoder.train().enter_stage("policy_init")
    assert encoder(image()).penalties["policies_on"].item() == pytest.approx(0.0, abs=1e-3)


def test_the_efficiency_loss_moves_shares_to_their_targets() -> None:
    encoder = build("vision_transformer", target="L", steered=True).train()
    for task in TASKS:
        biased(encoder, task, 2.0)
    optimizer = torch.optim.Adam(encoder.policies.parameters(), lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        penalties = encoder(image(8)).penalties
        (penalties["blocks"] + penalties["tokens"]).backward()
        optimizer.step()
    assert encoder.steering.achieved.tolist() == pytest.approx([0.5, 0.5], abs=0.15)


def test_a_pass_is_copied_and_saved_with_what_it_steered() -> None:
    encoder = build(steered=True).train()
    encoder(image()).penalties["blocks"].backward()
    twin = deepcopy(encoder)
    loaded = build(steered=True).train()
    loaded.load_state_dict(encoder.state_dict())
    values = []
    for one in (encoder, twin, loaded):
        seed_everything(5)
        values.append([*one(image()).by_task["far"], *one.steering.state_dict().values()])
    for tensors in values[1:]:
        assert all(torch.equal(one, other) for one, other in zip(values[0], tensors, strict=True))
    assert encoder.steering.achieved.tolist() != pytest.approx([0.9, 0.6])


def test_random_masks_in_training_need_no_generator() -> None:
    encoder = build("vision_transformer", policy="random").train()  # without stochastic depth
    before = torch.get_rng_state()
    statistics = encoder(image(16)).statistics
    assert torch.equal(torch.get_rng_state(), before)
    assert statistics["blocks_on"].item() == pytest.approx(0.9, abs=0.1)
    assert statistics["tokens_on"].item() == pytest.approx(0.9 * 0.6, abs=0.1)
    assert list(encoder.policies.parameters()) == []


def test_a_task_that_nothing_is_read_of_decides_in_training_alone() -> None:
    encoder = build()
    biased(encoder, "near", -50.0)
    biased(encoder, "far", 50.0)
    encoder.read_levels = {"near": (0, 1), "far": ()}
    assert encoder.train()(image()).statistics["blocks_on"] == 1.0
    assert encoder.eval()(image()).statistics["blocks_on"] == 0.0
    assert not any(value.any() for value in encoder.decide(image()).values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_pass_can_be_compiled() -> None:
    encoder = build().train()
    compiled = torch.compile(encoder.encode, backend="eager")
    seed_everything(1)
    expected = encoder.encode(image())
    encoder.tables = PlaceTables()
    seed_everything(1)
    for actual, level in zip(compiled(image()), expected, strict=True):
        torch.testing.assert_close(actual, level)
