"""Stages, turns and streams."""

from __future__ import annotations

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, TRAIN
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.adamtl.encoder import AdaMTLEncoder
from tests.support.backbones import tiny_backbone

TASKS = ("near", "far")


def build(**options: object) -> AdaMTLEncoder:
    encoder = ENCODERS.build({"name": "adamtl", **options}, tiny_backbone("vision_transformer"), TASKS)
    assert isinstance(encoder, AdaMTLEncoder)
    return encoder


def test_published_stages() -> None:
    stages = build().recipe()
    assert [(stage.name, round(stage.share * 1380)) for stage in stages] == [
        ("static", 1000),
        ("policy_init", 80),
        ("adaptive", 150),
        ("joint", 150),
    ]
    static, first, adaptive, joint = stages
    assert not static.trains("encoder.policies.nets.near.blocks.0.hidden.weight")
    assert first.trains("encoder.policies.nets.near.blocks.0.hidden.weight")
    assert not first.trains("encoder.network.stages.0.1.block.mlp.fc1.weight")
    assert not first.trains("decoder.heads.near.weight")
    assert first.penalties == {"policies_on": 1.0}
    assert first.settings == {"warmup_steps": 0}
    assert joint.penalties == {"blocks": 1.0, "tokens": 1.0}
    assert [turn.name for turn in adaptive.turns] == list(TASKS)
    assert {stage.stream for stage in stages} == {TRAIN}


def test_a_turn_trains_one_task() -> None:
    for turn in build(alpha=0.3).recipe()[2].turns:
        assert (turn.tasks, turn.epochs) == ((turn.name,), 1.0)
        assert turn.trains == ("encoder.network.*", "decoder.*", f"encoder.policies.nets.{turn.name}.*")
        assert turn.penalties == {"blocks": 0.3, "tokens": 0.3}
    assert [turn.tasks for turn in build(turn_losses="all").recipe()[2].turns] == [None, None]
    assert build(task_aware=False).recipe()[2].turns[0].trains[-1] == "encoder.policies.nets.all.*"


def test_patterns_name_parameters_that_are_there() -> None:
    encoder = build()
    names = [f"encoder.{name}" for name, _ in encoder.named_parameters()]
    assert all(name.startswith(("encoder.policies.nets.", "encoder.network.")) for name in names)
    for task in TASKS:
        assert any(name.startswith(f"encoder.policies.nets.{task}.") for name in names)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"policy": "random"}, ["static", "joint"]),
        ({"policy": "random", "adaptive_share": 0, "joint_share": 0}, ["static"]),
        ({"policy": "always_on"}, ["static"]),
        ({"policy": "static", "points": ["0.4x"]}, ["static"]),
        ({"adaptive_share": 0}, ["static", "policy_init", "joint"]),
    ],
)
def test_stages_of_other_policies(options: dict[str, object], names: list[str]) -> None:
    stages = build(**options).recipe()
    assert [stage.name for stage in stages] == names
    assert sum(stage.share for stage in stages) == pytest.approx(1.0)
    if options.get("policy"):
        assert stages[-1].penalties == {}


def test_only_what_may_be_skipped_is_penalised() -> None:
    assert build(skip="tokens").recipe()[-1].penalties == {"tokens": 1.0}


def test_rates_of_policies_and_of_the_rest() -> None:
    stages = build(policy_lr_factor=3.0, adaptive_lr_factor=0.5).recipe()
    assert [[(group.pattern, group.lr_factor) for group in stage.groups] for stage in stages] == [
        [],
        [("encoder.policies.*", 3.0)],
        [("encoder.policies.*", 3.0), ("*", 0.5)],
        [("encoder.policies.*", 3.0), ("*", 0.5)],
    ]


def test_samples_are_held_out_for_points_alone() -> None:
    assert build().streams() == {}
    encoder = build(points=["0.4x"], holdout_data=0.2)
    assert encoder.streams() == {"fitting": (0.0, 0.8), HOLDOUT: (0.8, 1.0)}
    streams = {turn.stream for stage in encoder.recipe() for turn in stage.turns}
    assert streams | {stage.stream for stage in encoder.recipe() if not stage.turns} == {"fitting"}
    assert build(points=["0.4x"], policy="static").streams() == {}


def test_every_task_has_a_turn() -> None:
    encoder = build()
    encoder.check_stage("adaptive", 2)
    encoder.check_stage("static", 1)
    with pytest.raises(UserError, match=r"1 epochs, but each of 2 tasks has a turn of 1.*lower turn_epochs to 0.5"):
        encoder.check_stage("adaptive", 1)
    build(turn_epochs=0.5).check_stage("adaptive", 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": 0.0, "steered": True}, "steered"),
        ({"target_blocks": 0.0}, "target_blocks"),
        ({"target_tokens": 1.5}, "target_tokens"),
        ({"holdout_data": 1.0}, "holdout_data"),
        ({"hidden": 0}, "hidden"),
        ({"turn_epochs": 0}, "turn_epochs"),
        (
            {"static_share": 0, "policy_init_share": 0, "adaptive_share": 0, "joint_share": 0},
            "nothing would be trained",
        ),
        ({"block_policy": "flatten"}, "image_size"),
        ({"points": ["35ms"]}, "multiply-adds"),
    ],
)
def test_values_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**options)


def test_a_backbone_without_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="Swin"):
        ENCODERS.build("adamtl", tiny_backbone("resnet"), TASKS)


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({}, 10),
        ({"points": ["0.5x"]}, 0),
        ({"policy": "random"}, 0),
        ({"policy": "always_on"}, 0),
        ({"joint_share": 0}, 10),
        ({"joint_share": 0, "adaptive_share": 0}, 10),
        ({"joint_share": 0, "adaptive_share": 0, "points": ["0.5x"]}, 0),
    ],
    ids=str,
)
def test_policies_that_learn_decide_to_the_end_unless_thresholds_follow(options: dict[str, object], first: int) -> None:
    assert build(**options).recipe()[-1].settled_from(10) == first
