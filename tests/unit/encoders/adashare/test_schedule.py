"""AdaShare's stages, turns, streams and curriculum as data."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, TRAIN
from frugalmtl.encoders.adashare.options import PenaltyOptions, PolicyOptions, SearchOptions, TurnOptions
from frugalmtl.encoders.adashare.schedule import check_curriculum, open_blocks, recipe, retraining, streams

LOGITS, WEIGHT, HEAD = "encoder.policy.logits.near", "encoder.network.stages.0.0.weight", "decoder.heads.near.weight"


def test_three_stages_take_the_epochs() -> None:
    warmup, search, retrain = recipe(SearchOptions(0.2, 0.5), PenaltyOptions())
    assert [stage.name for stage in (warmup, search, retrain)] == ["warmup", "search", "retrain"]
    assert [stage.share for stage in (warmup, search, retrain)] == pytest.approx([0.2, 0.5, 0.3])
    assert not warmup.trains(LOGITS)
    assert not retrain.trains(LOGITS)
    assert all(stage.trains(name) for stage in (warmup, search, retrain) for name in (WEIGHT, HEAD))
    assert (warmup.stream, retrain.stream) == (TRAIN, TRAIN)


def test_the_last_stage_begins_the_weights_anew_and_keeps_what_was_learned_of_policies() -> None:
    retrain = recipe(SearchOptions(), PenaltyOptions())[-1]
    buffers = ("encoder.policy.tau", "encoder.choice.chosen", "encoder.history.rows")
    assert all(any(fnmatchcase(name, pattern) for pattern in retrain.fresh) for name in (WEIGHT, HEAD))
    assert not any(fnmatchcase(name, pattern) for pattern in retrain.fresh for name in (LOGITS, *buffers))


def test_turns_train_weights_and_logits_on_streams_of_their_own() -> None:
    options = SearchOptions(turns=TurnOptions(2.0, 0.5), optimizer={"name": "sgd", "lr": 0.1})
    search = recipe(options, PenaltyOptions(0.02, 0.03))[1]
    weights, policy = search.turns
    assert (weights.name, weights.epochs, weights.stream, weights.trains) == (
        "weights",
        2.0,
        "weights",
        ("encoder.network.*", "decoder.*"),
    )
    assert (policy.name, policy.epochs, policy.stream, policy.trains) == (
        "policy",
        0.5,
        "policy",
        ("encoder.policy.*",),
    )
    assert not search.penalties
    assert weights.penalties is None
    assert policy.penalties == {"sparsity": 0.02, "sharing": 0.03}
    assert search.settings == {
        "schedule": "constant",
        "warmup_steps": 0,
        "optimizer": {"name": "sgd", "lr": 0.1},
    }
    (group,) = search.groups
    assert (group.pattern, group.scheduled) == ("encoder.policy.*", False)
    assert group.optimizer == {"name": "adam", "lr": 0.01, "weight_decay": 5e-4}


def test_penalties_of_weight_0_are_left_out() -> None:
    assert recipe(SearchOptions(), PenaltyOptions(0.0, 0.1))[1].turns[1].penalties == {"sharing": 0.1}


def test_turns_may_be_counted_in_steps() -> None:
    options = SearchOptions(turns=TurnOptions(weights_steps=400, policy_steps=100))
    assert [turn.steps for turn in recipe(options, PenaltyOptions())[1].turns] == [400, 100]


@pytest.mark.parametrize(("warmup", "search", "names"), [(0.0, 0.5, "search retrain"), (0.3, 0.7, "warmup search")])
def test_stages_without_a_share_are_left_out(warmup: float, search: float, names: str) -> None:
    stages = recipe(SearchOptions(warmup, search), PenaltyOptions())
    assert [stage.name for stage in stages] == names.split()
    assert sum(stage.share for stage in stages) == pytest.approx(1.0)


def test_a_policy_that_is_not_searched_takes_one_stage() -> None:
    (stage,) = retraining()
    assert (stage.name, stage.share, stage.fresh, stage.turns) == ("retrain", 1.0, (), ())
    assert not stage.trains(LOGITS)


def test_streams_are_disjoint_parts() -> None:
    for options in (SearchOptions(), SearchOptions(turns=TurnOptions(1, 1, None, None, 0.3, 0.3, 0.2))):
        parts = streams(options, scored=True)
        assert set(parts) == {"weights", "policy", HOLDOUT}
        assert all(0.0 <= start < stop <= 1.0 for start, stop in parts.values())
        for (first, stop), (second, end) in combinations(parts.values(), 2):
            assert stop <= second or end <= first


def test_nothing_is_held_out_where_nothing_is_scored() -> None:
    assert set(streams(SearchOptions(), scored=False)) == {"weights", "policy"}
    assert not PolicyOptions(choose="argmax").scores
    assert not PolicyOptions(candidates=0).scores
    assert PolicyOptions().scores


def test_curriculum_opens_blocks_from_the_last() -> None:
    assert [open_blocks(cycle, 4, 3) for cycle in range(13)] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4]
    assert [open_blocks(cycle, 4, 1) for cycle in range(5)] == [1, 2, 3, 4, 4]
    assert [open_blocks(cycle, 8, 0.5) for cycle in range(5)] == [1, 3, 5, 7, 8]
    assert open_blocks(0, 4, 0) == 4


def test_a_search_too_short_for_the_curriculum_is_refused_with_numbers() -> None:
    with pytest.raises(UserError, match=r"5 epochs, about 5 cycles .* opens 5 of 8 blocks: 8 cycles"):
        check_curriculum(5, 8, SearchOptions())
    check_curriculum(8, 8, SearchOptions())
    check_curriculum(1, 8, SearchOptions(curriculum_speed=0))
    check_curriculum(3, 8, SearchOptions(curriculum_speed=0.25))
    with pytest.raises(UserError, match="22 cycles"):
        check_curriculum(18, 8, SearchOptions(curriculum_speed=3))
    check_curriculum(20, 8, SearchOptions(curriculum_speed=3))
    check_curriculum(1, 8, SearchOptions(turns=TurnOptions(weights_steps=4, policy_steps=1)))  # not known beforehand


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (SearchOptions, {"search_share": 0.0}, "search_share"),
        (SearchOptions, {"warmup_share": 0.6, "search_share": 0.5}, "add up to more than 1"),
        (SearchOptions, {"curriculum_speed": -1.0}, "curriculum_speed"),
        (SearchOptions, {"policy_lr": 0.0}, "policy_lr"),
        (TurnOptions, {"policy_data": 0.0}, "policy_data"),
        (TurnOptions, {"weights_data": 0.8, "policy_data": 0.2, "holdout_data": 0.1}, "0.8 \\+ 0.2 \\+ 0.1 is 1.1"),
        (TurnOptions, {"policy_steps": 0}, "policy_steps"),
        (TurnOptions, {"weights_epochs": 0.0}, "weights_epochs"),
        (PenaltyOptions, {"sharing_weight": -0.1}, "sharing_weight"),
        (PolicyOptions, {"policy": "cost_order"}, "give budget"),
        (PolicyOptions, {"candidates": -1}, "candidates"),
        (PolicyOptions, {"budget": "much"}, "budget must be"),
    ],
)
def test_values_out_of_range_are_refused(kind: Any, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        kind(**values)


def test_a_search_decides_when_it_ends_and_what_follows_decides_nothing() -> None:
    assert recipe(SearchOptions(), PenaltyOptions())[-1].settled_from(10) == 0
    alone = recipe(SearchOptions(0.2, 0.8), PenaltyOptions())[-1]
    assert (alone.name, alone.settled_from(10)) == ("search", 10)
    assert retraining()[-1].settled_from(10) == 0
