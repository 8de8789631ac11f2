"""Identity of a finished run: what was edited since is named, what changes nothing is free."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from frugalmtl.engine.checkpoints.identity import flatten
from frugalmtl.experiment.config.experiment import Experiment, InitFrom
from frugalmtl.experiment.runs.identity import change_since, identity

CONFIG = Experiment(data={"name": "rooms", "size": "tiny"}, tasks=["depth", {"name": "normals", "weight": 2.0}])
TRAIN = CONFIG.train


def facts(config: Experiment) -> dict[str, Any]:
    settings = {"config": identity(config), "train": config.train.identity(), "seed": config.seed}
    return flatten({**settings, "processes": 1, "stages": [{"name": "train"}], "balancer": "Fixed"})


@pytest.mark.parametrize(
    ("edited", "key"),
    [
        (replace(CONFIG, seed=1), "seed"),
        (replace(CONFIG, data={"name": "rooms", "size": "small"}), "data.size"),
        (replace(CONFIG, tasks=["depth"]), "tasks.1.name"),
        (replace(CONFIG, encoder={"name": "hard_sharing", "more": 1}), "encoder.more"),
        (replace(CONFIG, init_from="elsewhere"), "init_from"),
        (replace(CONFIG, balancer={"name": "fixed", "held_out": 0.2}), "balancer.held_out"),
        (replace(CONFIG, train=replace(TRAIN, optimizer={"name": "adam", "lr": 0.5})), "train.optimizer.lr"),
        (replace(CONFIG, train=replace(TRAIN, lr_factors={"encoder.*": 0.1})), "train.lr_factors.0"),
        (replace(CONFIG, train=replace(TRAIN, epochs=3)), "train.epochs"),
        (replace(CONFIG, train=replace(TRAIN, clip_norm=1.0)), "train.clip_norm"),
    ],
)
def test_an_edited_key_is_named_both_ways(edited: Experiment, key: str) -> None:
    change = change_since(facts(CONFIG), edited)
    assert change is not None
    assert change[0] == key
    back = change_since(facts(edited), CONFIG)
    assert back is not None
    assert back[1:] == change[:0:-1]


@pytest.mark.parametrize(
    "edited",
    [
        CONFIG,
        replace(CONFIG, name="other", test_split="shifted", evaluate_split="test"),
        replace(CONFIG, train=replace(TRAIN, workers=2, log_every=1, evaluate_every=1, progress="off")),
    ],
)
def test_free_keys_stay_free(edited: Experiment) -> None:
    assert change_since(facts(CONFIG), edited) is None


def test_the_same_start_may_be_written_in_two_ways() -> None:
    start = facts(replace(CONFIG, init_from="elsewhere"))
    assert change_since(start, replace(CONFIG, init_from=InitFrom("elsewhere"))) is None
    for other in (InitFrom("elsewhere", ["structure"]), InitFrom("elsewhere", seed=1), InitFrom("nowhere")):
        assert change_since(start, replace(CONFIG, init_from=other)) is not None


def test_nothing_held_out_is_what_earlier_versions_had() -> None:
    assert change_since(facts(CONFIG), replace(CONFIG, balancer={"name": "fixed", "held_out": 0})) is None


def test_settings_of_another_version_are_no_change() -> None:
    """What was added since counts as its default, what was dropped not at all."""
    start = facts(CONFIG)
    older = {key: value for key, value in start.items() if not key.startswith(("train.channels_last", "config.fill"))}
    assert change_since(older | {"train.dropped": 3, "config.dropped.name": "x"}, CONFIG) is None
    change = change_since(older, replace(CONFIG, train=replace(TRAIN, channels_last=False)))
    assert change == ("train.channels_last", True, False)
