"""Records of numbers as JSON, which has neither NaN nor infinities."""

from __future__ import annotations

import json
import math

from frugalmtl.core.documents.json_values import json_text, number_of, with_nan


def strict(text: str) -> object:
    def refuse(word: str) -> float:
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_json_has_not_are_written_so_that_every_reader_takes_them():
    content = strict(json_text({"a": [1, 2.5, math.nan], "b": (math.inf, -math.inf)}))
    assert content == {"a": [1, 2.5, None], "b": ["Infinity", "-Infinity"]}


def test_numbers_come_back():
    values = [0, 1.5, math.inf, -math.inf]
    assert [number_of(item) for item in strict(json_text(values))] == values
    assert math.isnan(number_of(None))
    restored = with_nan(strict(json_text({"losses": {"depth": math.nan}, "epoch": 3})))
    assert math.isnan(restored["losses"]["depth"])
    assert restored["epoch"] == 3
