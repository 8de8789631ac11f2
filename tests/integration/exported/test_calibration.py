"""A budget in milliseconds of another machine: its file is made where only onnxruntime is, and a training keeps it."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.cli.main import main
from tests.integration.conftest import EXPERIMENT, write_config


@pytest.fixture
def config(tmp_path: Path, room_cache: Path) -> Path:
    content: dict[str, Any] = copy.deepcopy(EXPERIMENT)
    content["data"]["cache"] = str(room_cache)
    content["encoder"] = {"name": "interrogate", "budget": "35ms@onnxruntime", "pretrain_share": 0.0}
    content["train"] = {**EXPERIMENT["train"], "epochs": 4}
    return write_config(tmp_path / "gated.yaml", content)


def ends(path: Path) -> tuple[float, float]:
    networks = json.loads(path.read_text())["networks"]
    return networks[0]["milliseconds"], networks[-1]["milliseconds"]


def walk(python: list[str], config: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a kit to a trained network that keeps the box's milliseconds."""
    kit, file, run = folder / "kit", folder / "box.json", folder / "run"
    assert main(["profile", "--config", str(config), "--calibration-kit", str(kit)]) == 0
    assert "python calibrate.py (needs onnxruntime and numpy alone)" in capsys.readouterr().out
    assert "PIL" not in (kit / "calibrate.py").read_text()
    script = [*python, str(kit / "calibrate.py"), "--threads", "1", "--seconds", "1", "--out", str(file)]
    subprocess.run(script, capture_output=True, text=True, check=True)
    wanted = sum(ends(file)) / 2
    budget = ["--encoder.budget", f"{wanted:.5f}ms@onnxruntime", "--latency", str(file)]
    assert main(["train", "--config", str(config), *budget, "--out", str(run)]) == 0
    capsys.readouterr()
    assert main(["profile", str(run), "--rounds", "1", "--json", "--no-onnxruntime"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["elsewhere"]["milliseconds"] == pytest.approx(wanted, rel=0.03)
    assert str(file) in result["elsewhere"]["place"]
    assert main(["profile", str(run), "--calibration-kit", str(kit)]) == 0
    trained = json.loads((kit / "kit.json").read_text())["networks"][-1]
    assert (trained["words"], trained["macs"]) == ("the trained network", result["deployed"]["macs"])


@pytest.mark.slow
def test_onnxruntime_and_numpy_are_enough(
    config: Path, tmp_path: Path, clean_python: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    alone = [str(clean_python), "-I"]  # without PYTHONPATH
    script = "import importlib.util as u; print([n for n in ('torch', 'frugalmtl', 'onnx') if u.find_spec(n)])"
    done = subprocess.run([*alone, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    walk(alone, config, tmp_path, capsys)


@pytest.mark.slow
def test_this_machine_is_timed_in_one_go(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    file = tmp_path / "here.json"
    assert main(["profile", "--config", str(config), "--calibrate", str(file)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert sum("ms in onnxruntime" in line for line in printed) == 5
    assert printed[-1] == f"{file}: name it in the config as 'latency'"
    fast, slow = ends(file)
    assert fast < slow


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--calibrate", "a.json", "--calibration-kit", "kit"], "give one of them"),
        (["--calibrate", "a.json", "--rounds", "3"], "leave the other flags out"),
        (["--calibrate", "a.json", "--encoder.budget", "0.6x"], "the encoder's budget is 0.6x: give one"),
        (["--calibration-kit", "kit", "--encoder.budget", "35ms"], "the encoder's budget is 35ms: give one"),
    ],
)
def test_mistakes(
    flags: list[str],
    message: str,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["profile", "--config", str(config), *flags]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["gated.yaml"]


@pytest.mark.slow
def test_a_file_that_is_missing_is_said_before_the_training(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", "--config", str(config), "--latency", str(tmp_path / "no.json"), "--out", str(out)]) == 2
    assert "no.json" in capsys.readouterr().err
    assert not out.exists()
