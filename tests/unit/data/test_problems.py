"""Problems in groups of one cause."""

from __future__ import annotations

import pytest

from frugalmtl.data.problems import Problem, in_groups


def mask(index: int, *, task: str = "sal", split: str = "train", what: str = "holds 0 to {}") -> Problem:
    return Problem(f"{task}/im{index:03d}.png", what.format(index), "0 and 255", "state it", task, split)


def test_of_many_files_with_one_cause_three_are_printed() -> None:
    lines = list(in_groups([mask(index) for index in range(200)]))
    assert lines[:3] == [str(mask(index)) for index in range(3)]
    assert lines[3:] == ["... and 197 more files of task 'sal' with the same problem"]


def test_three_files_are_three_lines_and_a_fourth_is_one_more() -> None:
    assert list(in_groups([mask(index) for index in range(3)])) == [str(mask(index)) for index in range(3)]
    assert list(in_groups([mask(index) for index in range(4)]))[3:] == [
        "... and 1 more file of task 'sal' with the same problem"
    ]


def test_tasks_splits_and_causes_are_kept_apart() -> None:
    kinds = [{}, {"task": "edges"}, {"split": "val"}, {"what": "is turned {}"}]
    problems = [mask(index, **kind) for index in range(5) for kind in kinds]  # type: ignore[arg-type]  # all texts
    lines = list(in_groups(problems))
    assert len(lines) == 4 * 4
    assert [line.startswith("... and 2 more files") for line in lines] == 4 * [False, False, False, True]


@pytest.mark.parametrize(
    "what",
    [
        "holds values around {} metres (median)",
        "is a file of the id 'kitchen {}', and so is a/{}.jpg, b/{}.jpg",
        'is a file of the id "it\'s {}", and so is a.jpg',
        "holds values from -inf to {}e+05 (< 0.01 % of pixels)",
    ],
)
def test_numbers_and_ids_do_not_tell_causes_apart(what: str) -> None:
    values = ["3", "4.5", "inf", "nan", "-7"] if "median" in what else ["1", "2", "3", "4", "5"]
    problems = [Problem(f"{value}.png", what.replace("{}", value), "an image", "look") for value in values]
    assert list(in_groups(problems))[3:] == ["... and 2 more files with the same problem"]


def test_lines_of_one_table_are_called_lines() -> None:
    problems = [
        Problem("a.csv", f"line {index} holds 'x' for id 'k{index}'", "1", "correct", "att") for index in range(6)
    ]
    assert list(in_groups(problems))[3:] == ["... and 3 more lines of task 'att' with the same problem"]
    others = [Problem("a.csv", f"line 2 holds '{value}' for id 'a'", "1", "correct", "att") for value in "abcdef"]
    assert len(list(in_groups(others))) == 6
