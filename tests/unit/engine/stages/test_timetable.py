"""The timetable: every step's turn and batches follow from its place alone."""

from __future__ import annotations

from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage, Turn
from frugalmtl.engine.stages.timetable import Timetable

STREAMS = {"train": 5, "weights": 4, "policy": 2}
WEIGHTS, POLICY = Turn("weights", stream="weights"), Turn("policy", stream="policy", steps=3)


def names(table: Timetable, stage: int, steps: int) -> str:
    return "".join(table.at(stage, step).turn.name[0] for step in range(steps))


def test_turns_follow_each_other_round_and_round() -> None:
    table = Timetable([(Stage("search", turns=(WEIGHTS, POLICY)), 4)], 5, STREAMS)
    assert names(table, 0, 20) == "wwwwpppwwwwpppwwwwpp"
    moments = [table.at(0, step) for step in range(20)]
    assert [moment.cycle for moment in moments] == [0] * 7 + [1] * 7 + [2] * 6
    assert [moment.turn_step for moment in moments][:9] == [0, 1, 2, 3, 0, 1, 2, 0, 1]
    assert [moment.stream_step for moment in moments if moment.stream == "weights"] == list(range(12))
    assert [moment.stream_step for moment in moments if moment.stream == "policy"] == list(range(8))


def test_streams_go_on_over_stages() -> None:
    stages = [(Stage("one"), 2), (Stage("two", turns=(WEIGHTS, POLICY)), 1), (Stage("three", stream="policy"), 1)]
    table = Timetable([*stages, (Stage("four"), 1)], 5, STREAMS)
    assert [table.at(0, step).stream_step for step in range(10)] == list(range(10))
    assert [table.at(2, step).stream_step for step in range(5)] == [1, 2, 3, 4, 5], "one policy step lies behind"
    assert [table.at(3, step).stream_step for step in range(5)] == [10, 11, 12, 13, 14]


def test_the_same_batch_is_read_again_and_counted_once() -> None:
    again = Turn("again", steps=3, same_batch=True)
    third = Turn("third", steps=3, same_batch=True)
    table = Timetable([(Stage("s", turns=(POLICY, again, third, WEIGHTS)), 9)], 5, STREAMS)
    rows = [(moment.turn.name, moment.stream_step) for moment in (table.at(0, step) for step in range(13 + 9))]
    assert rows[:9] == [(name, step) for name in ("policy", "again", "third") for step in range(3)]
    assert rows[9:13] == [("weights", step) for step in range(4)]
    assert rows[13:] == [(name, step) for name in ("policy", "again", "third") for step in range(3, 6)]


def test_parts_of_an_epoch_are_whole_steps_and_at_least_one() -> None:
    halves = (Turn("half", epochs=0.5), Turn("little", epochs=0.01))
    assert names(Timetable([(Stage("s", turns=halves), 2)], 5, STREAMS), 0, 8) == "hhlhhlhh"


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ((Turn("a", stream="polcy"),), "reads the stream 'polcy', but there are policy, train, weights"),
        ((Turn("a", same_batch=True),), "its first turn 'a' has no turn before it to read again"),
        (
            (POLICY, Turn("b", steps=2, same_batch=True)),
            "the turn 'b' of 2 steps reads again what 'policy' read, which has 3: make them equally long",
        ),
    ],
)
def test_turns_that_do_not_fit_are_refused(turns: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Timetable([(Stage("s", turns=turns), 1)], 5, STREAMS)


@pytest.mark.parametrize("length", [{"epochs": 0.0}, {"steps": 0}, {"epochs": -1.0}])
def test_a_turn_has_a_length(length: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="the turn 'a' must be longer than 0"):
        Turn("a", **length)


def test_a_stage_replaces_what_can_be_replaced() -> None:
    with pytest.raises(UserError, match="stage 's' cannot replace the setting 'epochs': only optimizer, lr_factors"):
        Stage("s", settings={"epochs": 3})
