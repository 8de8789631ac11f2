"""The script of a calibration kit: interleaved rounds, what it writes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from frugalmtl.channels.times import LayerTimes, SizedLayer
from frugalmtl.core.checks import UserError
from frugalmtl.deployment import deploy
from frugalmtl.deployment.elsewhere import FORMAT
from frugalmtl.export import _calibrate as script
from frugalmtl.export._kit import KitNetwork, write_kit
from tests.support.gated import toy_model

SIZE = (32, 32)
FACTS = {"image_size": list(SIZE), "encoder": "a", "backbone": "b", "decoder": "c", "tasks": {"depth": 1}}


LAYER = SizedLayer("convolution", 3, 16, (8, 8), kernel=(3, 3), padding=(1, 1))
LINEAR = SizedLayer("linear", 4, 3, (5, 1))


class Input:
    """As onnxruntime describes an input."""

    name, shape = "image", ["batch", 3, 2, 2]


class Session:
    """Notes who runs."""

    def __init__(self, name: str, runs: list[str]) -> None:
        self.name, self.runs = name, runs

    def get_inputs(self) -> list[Input]:
        return [Input()]

    def run(self, outputs: None, inputs: dict[str, Any]) -> None:
        assert outputs is None
        assert inputs["image"].shape == (1, 3, 2, 2)
        assert inputs["image"].dtype == np.float32
        self.runs.append(self.name)


def test_each_round_runs_each_network_and_who_begins_rotates() -> None:
    runs: list[str] = []
    times = script.timed_rounds([Session(name, runs) for name in "abc"], rounds=3, warm_up=1)
    assert "".join(runs) == "cab" + "abc" + "bca" + "cab"
    assert [len(each) for each in times] == [3, 3, 3], "the round before them does not count"


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("kit")
    networks = [KitNetwork("the only one", deploy(toy_model("hard_sharing")))]
    files = write_kit(networks, FACTS, SIZE, folder, [LAYER, LAYER, LINEAR])
    layers = [f"layer_0_{width}.onnx" for width in (4, 8, 12, 16)] + [f"layer_1_{width}.onnx" for width in (1, 2, 3)]
    assert [path.name for path in files] == ["network_0.onnx", *layers, "calibrate.py", "kit.json"]
    assert all(path.is_file() for path in files)
    return folder


@pytest.mark.slow
def test_the_script_writes_what_it_measured(kit: Path, tmp_path: Path) -> None:
    out = tmp_path / "box.json"
    command = [sys.executable, str(kit / "calibrate.py"), "--out", str(out), "--threads", "1", "--seconds", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    record = json.loads(out.read_text())
    assert record["format"] == FORMAT == script.FORMAT
    assert record["network"] == FACTS
    assert record["machine"]["threads"] == 1
    assert script.FEWEST <= record["rounds"] <= script.MOST
    (network,) = record["networks"]
    assert network["words"] == "the only one"
    assert network["macs"] > 0
    assert network["milliseconds"] > 0
    table = LayerTimes.read(out)
    assert [timing.layer for timing in table.timings] == [LAYER, LINEAR]
    assert table.machine.threads == 1
    assert table.of(LAYER).at(16) > 0
    assert "ms in onnxruntime" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["box.json"]


@pytest.mark.slow
def test_mistakes_with_the_script_are_lines(kit: Path, tmp_path: Path) -> None:
    def answer(folder: Path, *arguments: str) -> str:
        command = [sys.executable, str(folder / "calibrate.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        return done.stderr

    assert "must be above 0" in answer(kit, "--threads", "0")
    assert "No such file" in answer(kit, "--seconds", "0.01", "--out", str(tmp_path / "no" / "box.json"))
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "calibrate.py").write_bytes((kit / "calibrate.py").read_bytes())
    assert "kit.json is missing or damaged" in answer(moved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "missing or damaged"),
        ("[]", "missing or damaged"),
        ('{"format": 1, "network": {}, "networks": [{"words": "a"}]}', "missing or damaged"),
        ('{"format": 1, "network": {}, "networks": []}', "missing or damaged"),
        ('{"format": 2, "network": {}, "networks": [], "layers": []}', "is not of format 1"),
        ('{"format": 1, "network": {}, "networks": [{"file": "a.onnx"}], "layers": []}', "a.onnx cannot be loaded"),
    ],
)
def test_damaged_kits_are_refused(content: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "kit.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        script.measure(tmp_path, 1)


def test_a_kit_is_not_written_over_something_else(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="holds something else than a calibration kit: choose another folder"):
        write_kit([KitNetwork("a", nn.Identity())], FACTS, SIZE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
