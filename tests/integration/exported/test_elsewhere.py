"""The script beside exported networks: it needs three packages, and gives what ``predict`` gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from frugalmtl.cli.main import main
from tests.support.runs.running_elsewhere import WITHOUT, alike, run_elsewhere

FORMATS = "overlay,ids,depth_mm,npy,json"


@pytest.fixture(scope="module")
def predicted(run: Path, photographs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predicted")
    assert main(["predict", str(run), *map(str, photographs), "--out", str(folder), "--save", FORMATS]) == 0
    return folder


def hold_against(predicted: Path, out: Path, model: str) -> None:
    """A file that decodes sees whole numbers: a resized photograph is rounded before it, which moves some borders, and
    turns the directions of a network that has hardly learned any."""
    for photo, least in (("fitting", 0.999), ("large", 0.999 if model == "raw" else 0.9)):
        shares = alike(predicted, out, photo)
        assert {"segmentation-ids.png", "depth-mm.png", "normals.npy", "edges.png", "attributes.npy"} <= {*shares}
        assert {name: share for name, share in shares.items() if share < least} == {}
        ours, theirs = (json.loads((folder / f"{photo}.json").read_text()) for folder in (predicted, out))
        assert list(ours) == list(theirs)
        assert ours["depth"]["median"] == pytest.approx(theirs["depth"]["median"], rel=0.01)
        assert ours["attributes"]["probabilities"] == pytest.approx(theirs["attributes"]["probabilities"], abs=0.01)


@pytest.mark.parametrize("model", ["raw", "decoded"])
def test_the_script_gives_what_predict_gives(
    model: str, files: Path, photographs: list[Path], predicted: Path, tmp_path: Path
) -> None:
    output = run_elsewhere([sys.executable, "-c", WITHOUT], files / f"{model}.onnx", photographs, tmp_path)
    assert len(output.splitlines()) == len(photographs)
    hold_against(predicted, tmp_path, model)


def test_mistakes_with_the_script(files: Path, photographs: list[Path], tmp_path: Path) -> None:
    def answer(folder: Path, *arguments: str) -> str:
        script = [sys.executable, str(folder / "run_model.py"), str(photographs[0]), *arguments]
        return subprocess.run(script, capture_output=True, text=True, cwd=tmp_path).stderr

    assert "decoded.onnx" in answer(files)
    assert "say by --model which .onnx file" in answer(files)
    assert "--save takes overlay, ids" in answer(files, "--save", "idz")
    moved = tmp_path / "moved"
    shutil.copytree(files, moved)
    table = moved / "model.json"
    table.write_text(json.dumps({"raw.onnx": json.loads(table.read_text())["raw.onnx"]}))
    assert answer(moved) == ""
    assert (tmp_path / "predictions" / "fitting-depth.png").exists()


def test_files_beside_a_network(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deploy = ["deploy", str(run), "--format", "safetensors", "--out"]
    for name in ("a", "b"):
        assert main([*deploy, str(tmp_path / f"{name}.safetensors")]) == 0
    table = tmp_path / "model.json"
    assert list(json.loads(table.read_text())) == ["a.safetensors", "b.safetensors"]
    assert not (tmp_path / "run_model.py").exists()  # weights alone do not run
    (tmp_path / "a.safetensors").unlink()
    assert main([*deploy, str(tmp_path / "c.safetensors")]) == 0
    assert list(json.loads(table.read_text())) == ["b.safetensors", "c.safetensors"]
    table.write_text("{")
    capsys.readouterr()
    assert main([*deploy, str(tmp_path / "d.safetensors")]) == 2
    assert "model.json is damaged" in capsys.readouterr().err
    assert not (tmp_path / "d.safetensors").exists()


def test_a_script_that_was_changed_stays(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "run_model.py").write_text("print('mine')\n")
    assert main(["deploy", str(run), "--format", "onnx", "--tasks", "depth", "--out", str(tmp_path / "a.onnx")]) == 0
    assert (tmp_path / "run_model.py").read_text() == "print('mine')\n"
    assert "stays as it is" in capsys.readouterr().out


@pytest.mark.slow
def test_three_packages_are_enough(
    files: Path, photographs: list[Path], predicted: Path, clean_python: Path, tmp_path: Path
) -> None:
    for model in ("raw", "decoded"):
        run_elsewhere([str(clean_python)], files / f"{model}.onnx", photographs, tmp_path / model)
        hold_against(predicted, tmp_path / model, model)
