"""Table of layer times: lines between measured widths, prices per channel, files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.channels.times import LayerTimes, Machine, SizedLayer, Timing
from frugalmtl.core.checks import UserError

CPU = Machine("cpu", "a processor", "AVX2", 4, versions={"torch": "2.15"})
LAYER = SizedLayer("convolution", 8, 32, (6, 10), kernel=(3, 3), stride=(2, 2), padding=(1, 1))
LINEAR = SizedLayer("linear", 8, 16, (60, 1))
TABLE = LayerTimes(CPU, 2, [Timing(LAYER, [8, 16, 32], [3.0, 5.0, 9.0]), Timing(LINEAR, [16], [0.5])])


def test_times_lie_on_lines_between_widths() -> None:
    timing = TABLE.of(LAYER)
    assert [timing.at(width) for width in (8, 12, 16, 24, 32)] == [3.0, 4.0, 5.0, 7.0, 9.0]
    assert timing.at(0) == 0.0, "a layer without outputs does not run"
    assert timing.at(1) == 3.0, "what was not measured is no quicker than the least width that was"


def test_price_of_a_channel_is_the_slope() -> None:
    assert TABLE.of(LAYER).per_channel() == pytest.approx(0.25), "3 + 0.25 (width - 8)"
    assert Timing(LAYER, [8, 16, 32], [4.0, 4.0, 4.0]).per_channel() == pytest.approx(0.0, abs=1e-12)
    assert Timing(LAYER, [8, 32], [4.0, 3.0]).per_channel() == 0.0, "noise makes no channel cheaper than nothing"
    assert TABLE.of(LINEAR).per_channel() == 0.0, "one width tells no slope"


def test_costs_by_node() -> None:
    assert TABLE.per_node({1: LAYER, 3: LINEAR}, 4) == [0.0, pytest.approx(0.25 * 32), 0.0, 0.0]


def test_a_layer_that_was_not_measured() -> None:
    other = replace(LAYER, size=(12, 20))
    with pytest.raises(UserError, match=r"lacks convolution 3x3 8 -> 32, stride 2 at 12 x 20: write one .*frugalmtl"):
        TABLE.of(other)


def test_a_file_holds_the_table(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(TABLE.to_json(), encoding="utf-8")
    assert LayerTimes.read(path) == TABLE
    machine = json.loads(path.read_text(encoding="utf-8"))["machine"]
    assert set(machine) == {"device", "name", "instructions", "threads", "dtype", "runtime", "versions"}


def changed(**keys: Any) -> str:
    return json.dumps(json.loads(TABLE.to_json()) | keys)


def with_timing(**keys: Any) -> str:
    first, second = json.loads(TABLE.to_json())["timings"]
    return changed(timings=[first | keys, second])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[]", "no mapping"),
        ("{}", "not of format 1"),
        (changed(format=2), "not of format 1"),
        (changed(batch=0), "batch"),
        (changed(batch="many"), "batch"),
        (changed(extra=1), "extra"),
        (changed(timings=[{}]), "timings"),
        (changed(machine={"device": "abacus"}), "machine"),
        (changed(timings=2 * json.loads(TABLE.to_json())["timings"]), "stands twice"),
        (with_timing(widths=[16, 8, 32]), "must rise to 32"),
        (with_timing(widths=[8, 16]), "must rise to 32"),
        (with_timing(widths=[]), "must rise to 32"),
        (with_timing(milliseconds=[1.0]), "3 widths and 1 times"),
        (with_timing(milliseconds=[1.0, -1.0, 2.0]), "above 0"),
        (with_timing(milliseconds=[1.0, 1e999, 2.0]), "finite"),
        (
            with_timing(layer={"kind": "convolution", "inputs": 3, "outputs": 4, "size": [1, 1], "groups": 2}),
            "no layer",
        ),
    ],
)
def test_wrong_files_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        LayerTimes.read(path)
    assert "times.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacking\.json"):
        LayerTimes.read(tmp_path / "lacking.json")
