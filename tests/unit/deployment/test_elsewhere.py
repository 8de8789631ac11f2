"""Latency files: lines between the networks, refusals, and the clock that reads them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from frugalmtl.channels.times import Machine
from frugalmtl.core.checks import UserError
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.deployment import plan_encoder
from frugalmtl.deployment.elsewhere import FileClock, LatencyFile, NetworkKind, NetworkTime, NetworkTimes
from tests.support.gated import SIDE, measured, set_gates, toy_model

BOX = Machine("cpu", "a small processor", "DEFAULT", 4, runtime="onnxruntime", versions={"onnxruntime": "1.30"})
KIND = NetworkKind(SIDE, "interrogate", "{name: a}", "{name: b}", {"segmentation": 3, "depth": 1})
TIMES = NetworkTimes(
    BOX,
    KIND,
    50,
    [
        NetworkTime("network_2.onnx", "the dearest", 4e9, 40.0),
        NetworkTime("network_0.onnx", "the cheapest", 1e9, 10.0),
        NetworkTime("network_1.onnx", "between", 2e9, 26.0),
        NetworkTime("network_3.onnx", "the trained network", 2e9, 24.0),
    ],
)


def written(folder: Path, times: NetworkTimes = TIMES, **changes: Any) -> Path:
    path = folder / "box.json"
    path.write_text(json_text({"format": 1, **asdict(times), **changes}))
    return path


def test_times_lie_on_lines_between_networks() -> None:
    """Those of as many multiply-adds count by their mean."""
    assert [TIMES.at(macs) for macs in (1e9, 1.5e9, 2e9, 3e9, 4e9)] == [10.0, 17.5, 25.0, 32.5, 40.0]
    assert TIMES.at(4.001e9) == 40.0, "an end, but for rounding"
    for macs in (0.99e9, 4.1e9):
        with pytest.raises(UserError, match="networks from 1 to 4 G multiply-adds were timed, but this one has"):
            TIMES.at(macs)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    assert NetworkTimes.read(written(tmp_path)) == TIMES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "box.json is not of format 1: write it with calibrate.py of a kit"),
        ({"rounds": 0}, "box.json: rounds must be above 0"),
        ({"rounds": "many"}, "box.json: rounds"),
        ({"networks": []}, "networks must be two or more"),
        ({"networks": [asdict(TIMES.networks[0])] * 2}, "networks must be two or more, of different multiply-adds"),
        ({"networks": [{**asdict(TIMES.networks[0]), "milliseconds": -1.0}]}, "milliseconds of network_2.onnx must be"),
        ({"machine": {**asdict(BOX), "threads": 0}}, "threads must be above 0"),
        ({"machine": {**asdict(BOX), "runtime": "abacus"}}, "box.json: machine.runtime"),
        ({"secret": 1}, "secret"),
    ],
)
def test_damaged_files_are_refused_in_one_line(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        NetworkTimes.read(written(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_missing_keys_and_files_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = json.loads(path.read_text())
    del content["machine"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="machine"):
        NetworkTimes.read(path)
    with pytest.raises(UserError, match=r"nowhere\.json"):
        NetworkTimes.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("fact", "value"), [("image_size", (32, 16)), ("encoder", "adashare"), ("tasks", {"depth": 1}), ("backbone", "{}")]
)
def test_a_file_of_another_network_is_refused(fact: str, value: Any, tmp_path: Path) -> None:
    file = LatencyFile(str(written(tmp_path)), replace(KIND, **{fact: value}))
    with pytest.raises(UserError, match=rf"box.json is of another network: its {fact} is .*, this experiment's"):
        file.times()


def test_the_clock_reads_the_time_of_each_decision(tmp_path: Path) -> None:
    model = toy_model(budget="5ms@onnxruntime", frozen_share=0.25, pretrain_share=0.0)
    shape = model.encoder.gates.alpha.shape
    decisions = [partial(set_gates, model.encoder, torch.full(shape, value)) for value in (False, True)]
    counts = []
    for decide in decisions:
        decide()
        counts.append(measured(model))
    networks = [NetworkTime(f"{count}", "", float(count), count / 1e5) for count in counts]
    file = LatencyFile(str(written(tmp_path, replace(TIMES, networks=networks))), KIND)
    clock = FileClock(model, file, file.times())
    assert clock(decisions) == [pytest.approx(count / 1e5) for count in counts]
    assert clock() == [pytest.approx(counts[1] / 1e5)], "the model is left in the last state"
    assert clock.place == f"the machine of {file.path} (a small processor, 4 threads) in onnxruntime"
    with pytest.raises(UserError, match=r"of another network: networks from 1 to 4 G multiply-adds were timed"):
        FileClock(model, file, TIMES)(decisions)


def test_a_budget_is_refused_by_the_clock_of_the_file(tmp_path: Path) -> None:
    model = toy_model(budget="0.5ms@onnxruntime", frozen_share=0.25, pretrain_share=0.0)
    networks = [NetworkTime("a", "", 1.0, 9.0), NetworkTime("b", "", 1e12, 10.0)]
    file = LatencyFile(str(written(tmp_path, replace(TIMES, networks=networks))), KIND)
    with pytest.raises(UserError, match=r"0.5 ms cannot be kept: on the machine of .*box.json \(a small processor, 4"):
        plan_encoder(model, SIDE, FileClock(model, file, file.times()))
