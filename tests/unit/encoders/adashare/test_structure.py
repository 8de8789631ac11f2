"""AdaShare's structure as plain values."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.encoders.adashare.structure import read_structure, written_structure

TASKS, BLOCKS = ("near", "far"), ("stages.0.1", "stages.1.0", "stages.1.1")
POLICY = np.array([[True, False, True], [False, True, True]])
PROBABILITY = np.array([[0.9, 0.25, 1.0], [0.0, 0.5, 0.75]])


def plain() -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(written_structure(POLICY, PROBABILITY, TASKS, BLOCKS)))
    return values


def test_it_is_plain_values() -> None:
    assert plain() == {
        "policy": {"near": [1, 0, 1], "far": [0, 1, 1]},
        "run_probability": {"near": [0.9, 0.25, 1.0], "far": [0.0, 0.5, 0.75]},
        "blocks": list(BLOCKS),
    }


def test_it_is_read_back_in_the_order_of_the_tasks() -> None:
    policy, probability = read_structure(plain(), TASKS[::-1], BLOCKS)
    assert (policy == POLICY[::-1]).all()
    assert (probability == PROBABILITY[::-1]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blocks": ["stages.0.1", "stages.1.0"]}, "2 gated blocks .* has 3"),
        ({"blocks": ["stages.0.1", "stages.0.2", "stages.1.1"]}, "number 2 is 'stages.0.2', not stages.1.0"),
        ({"blocks": None}, "encoder adashare"),
        ({"policy": {"near": [1, 0, 1]}}, "tasks 'near'.* near, far"),
        ({"policy": {"near": [1, 0, 1], "edge": [1, 0, 1]}}, "near, edge"),
        ({"policy": [1, 0]}, "tasks"),
        ({"policy": {"near": [1, 0, 1], "far": [1, 0]}}, "'far' must be 3 numbers"),
        ({"policy": {"near": [1, 0, 1], "far": [1, 0, 0.5]}}, "0 .skip. and 1 .run. alone"),
        ({"run_probability": {"near": [1, 0, 1], "far": [1, 0, 1.5]}}, "'far' must be 3 numbers in"),
        ({"run_probability": {"near": [1, 0, 1], "far": [1, 0, float("nan")]}}, "'far' must be 3 numbers in"),
        ({"run_probability": {"near": [1, 0, 1], "far": "110"}}, "'far' must be 3 numbers in"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as refusal:
        read_structure({**plain(), **change}, TASKS, BLOCKS)
    assert "\n" not in str(refusal.value)


def test_another_methods_structure_is_refused() -> None:
    with pytest.raises(UserError, match="has 'tree'"):
        read_structure({"tree": []}, TASKS, BLOCKS)
