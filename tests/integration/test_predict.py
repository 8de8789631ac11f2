"""Predictions on many photographs, some of which are of no use."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from frugalmtl.cli.main import main
from frugalmtl.experiment.predict import photographs
from frugalmtl.experiment.runs.run import Run
from tests.integration.conftest import EXPERIMENT, write_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, room_cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    content: dict[str, Any] = {**EXPERIMENT, "data": {**EXPERIMENT["data"], "cache": str(room_cache)}}
    config = write_config(folder / "tiny.yaml", content)
    assert main(["train", "--config", str(config), "--out", str(folder / "run")]) == 0
    return folder / "run"


def photograph(path: Path, seed: int = 0) -> str:
    pixels = (np.random.default_rng(seed).random((40, 60, 3)) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return str(path)


def test_one_photograph_is_held_at_a_time(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[Any]] = []
    read = photographs.read_photo

    def watched(source: str | Path, *more: Any) -> Any:
        assert not [photo for photo in alive if photo() is not None], "an earlier photograph is still held"
        photo = read(source, *more)
        alive.append(weakref.ref(photo))
        return photo

    monkeypatch.setattr(photographs, "read_photo", watched)
    sources = [photograph(tmp_path / f"{index}.png", index) for index in range(3)]
    assert len(list(photographs.predict_photos(run, sources, tmp_path / "out"))) == 3 * 3 + 1
    assert len(alive) == 3


def test_bad_photographs_are_a_line_each_and_the_others_are_predicted(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, cut, text = photograph(tmp_path / "good.png"), tmp_path / "cut.png", tmp_path / "text.jpg"
    cut.write_bytes(Path(good).read_bytes()[:300])
    text.write_text("no picture")
    assert main(["predict", str(run), str(cut), str(text), good, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert (tmp_path / "out" / "good-depth.png").exists()
    lines = captured.err.splitlines()
    assert "cut.png" in lines[0]
    assert "text.jpg" in lines[1]
    assert lines[2:] == ["frugalmtl: error: 2 of 3 photographs could not be predicted; the others are written"]


def test_a_photograph_that_does_not_exist_is_met_before_the_run_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = photograph(tmp_path / "good.png")
    assert main(["predict", str(tmp_path / "norun"), good, str(tmp_path / "absent.png")]) == 2
    assert "absent.png does not exist" in capsys.readouterr().err


def test_folders_and_configs_are_told_from_photographs_and_runs(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = photograph(tmp_path / "good.png")

    def answer(*arguments: str | Path) -> str:
        assert main([*map(str, arguments)]) == 2
        return capsys.readouterr().err

    assert "holds no image" in answer("predict", run, run)
    assert "is a file: expected the folder of a run" in answer("predict", run / "config.yaml", good)
    assert f"such as {run}" in answer("evaluate", run.parent)
    assert f"{run / 'config.yaml'}" in answer("train", "--config", run)
    assert "a file lies where a folder has to be" in answer("predict", run, good, "--out", good)


def test_a_warning_is_one_line(run: Path, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    command = [sys.executable, "-m", "frugalmtl", "predict", str(run), str(tmp_path / "moving.gif")]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    assert line.startswith("frugalmtl: note: ")
    assert "several frames" in line


def test_names_that_look_like_options(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photograph(tmp_path / "-dash7.png")
    photograph(tmp_path / "plain.png")
    assert main(["predict", str(run), "plain.png", "--out", "out", "--", "-dash7.png"]) == 0
    assert {"-dash7-depth.png", "plain-depth.png"} <= {path.name for path in Path("out").iterdir()}
    capsys.readouterr()
    assert main(["predict", str(run), "--", "-dash7.png", "--out", "other"]) == 2
    assert "'--'" in capsys.readouterr().err
    assert main(["predict", str(run)]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_names_that_are_no_text(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    photograph(tmp_path / name)
    assert main(["predict", str(run), str(tmp_path / name), "--out", str(tmp_path / "out")]) == 0
    assert "caf\\udce9-depth.png" in capsys.readouterr().out


def test_scores_are_a_line_per_task_in_a_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"{run}, split test"
    scores = [line for line in lines if not line.startswith("    ")]  # remarks stand further in
    assert [line.split(":")[0] for line in scores] == ["  segmentation", "  depth"]


def test_sources_and_formats(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, a pattern and a list; what is saved is of the photograph's size, and one format refused writes none."""
    (tmp_path / "frames").mkdir()
    for name in ("a", "b"):
        photograph(tmp_path / "frames" / f"{name}.png")
    monkeypatch.setattr("sys.stdin", io.StringIO(photograph(tmp_path / "c.png") + "\n"))
    out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["predict", str(run), str(tmp_path / "frames"), str(tmp_path / "c*"), "-", *out, "--save", "npy"]) == 0
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {f"{name}-{task}.npy" for name in ("a", "b", "c", "c-2") for task in ("segmentation", "depth")}
    assert np.load(tmp_path / "out" / "a-depth.npy").shape == (1, 40, 60)
    capsys.readouterr()
    good = photograph(tmp_path / "d.png")
    for save, message in (("idz", "Did you mean 'ids'"), (" ,", "nothing is to be saved"), ("overlay,idss", "idss")):
        assert main(["predict", str(run), good, "--save", save, *out]) == 2
        assert message in capsys.readouterr().err
    assert main(["predict", str(run), good, "--save", "ids", "--device", "cuda:99"]) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == files


def test_the_size_of_the_training_or_that_of_the_photograph(run: Path) -> None:
    small = (np.random.default_rng(1).random((64, 64, 3)) * 255).astype(np.uint8)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    opened = Run.open(run)
    trained, native = opened.predictor(), opened.predictor(native=True)
    torch.testing.assert_close(trained(small), native(small))  # one size: no difference
    for predictor in (trained, native):
        assert {values.shape[-2:] for values in predictor(large).values()} == {(128, 128)}
    assert not torch.allclose(trained(large)["depth"], native(large)["depth"], rtol=1e-2, atol=1e-6)


def test_a_network_without_metres_saves_none(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = Run.open(run).network()
    ground = replace(facts, tasks=facts.tasks[:1])
    monkeypatch.setattr(Run, "network", lambda _: ground)
    assert main(["predict", str(run), photograph(tmp_path / "a.png"), "--save", "depth_mm"]) == 2
    assert "depth_mm needs a map of metres, but this network predicts segmentation" in capsys.readouterr().err
