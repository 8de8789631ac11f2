"""The way of somebody with photographs: checked, trained, scored, measured, deployed, and run where torch is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from frugalmtl.cli.main import main
from tests.support.runs.running_elsewhere import alike, run_elsewhere

PICTURES = ("coffee", "astronaut", "chelsea", "rocket")
DATA = {
    "root": "photos",
    "images": "images/{id}.{jpg,JPG}",
    "tasks": {
        "ground": {"kind": "segmentation", "classes": ["dark", "bright"], "files": "classes/{id}.png"},
        "depth": {"kind": "depth", "files": "depth/{id}.png", "encoding": {"name": "scaled", "scale": 0.001}},
    },
    "splits": {"train": 0.7, "val": 0.1, "test": 0.2},
}
EXPERIMENT = {
    "name": "photos",
    "data": {"name": "folder", "file": "photos.yaml"},
    "image_size": 64,
    "backbone": {"name": "timm", "model": "test_resnet"},
    "decoder": {"name": "independent", "head": "linear"},
    "train": {"epochs": 2, "batch_size": 4},
}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cuttings of packaged pictures with masks of what is bright, and for two of three a depth of 1 to 5 metres."""
    from skimage import data

    for folder in ("images", "classes", "depth"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    for number in range(24):
        picture = np.asarray(getattr(data, PICTURES[number % len(PICTURES)])())
        top, left = 8 * (number // 4), 12 * (number // 4)
        cut = picture[top : top + 192, left : left + 256]
        name = f"{number:02d}"
        ending = "JPG" if number % 5 == 0 else "jpg"
        Image.fromarray(cut).save(tmp_path / "photos" / "images" / f"{name}.{ending}", format="JPEG", quality=95)
        bright = (cut.mean(axis=2) > 100).astype(np.uint8)
        Image.fromarray(bright).save(tmp_path / "photos" / "classes" / f"{name}.png")
        if number % 3:
            metres = np.linspace(5.0, 1.0, cut.shape[0])[:, None].repeat(cut.shape[1], 1)
            Image.fromarray((1000 * metres).astype(np.uint16)).save(tmp_path / "photos" / "depth" / f"{name}.png")
    (tmp_path / "photos.yaml").write_text(yaml.safe_dump(DATA))
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    Image.fromarray(np.asarray(data.coffee())).resize((64, 64)).save(tmp_path / "new.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.slow
def test_from_photographs_to_a_file_that_runs_elsewhere(
    photos: Path, clean_python: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(command: str) -> str:
        assert main(command.split()) == 0, capsys.readouterr()
        return capsys.readouterr().out

    checked = answer("data check photos.yaml")
    for words in ("train", "ground", "dark", "depth", "192 x 256"):
        assert words in checked
    assert "run: runs/photos" in answer("train --config experiment.yaml")
    scores = answer("evaluate runs/photos")
    assert "miou" in scores
    assert "rmse" in scores
    assert "GMAC" in answer("profile runs/photos --rounds 1")
    written = answer("deploy runs/photos --format onnx --decoded --out box/photos.onnx")
    assert "box/photos.onnx" in written
    assert "largest difference to the deployed module" in written
    assert {path.name for path in (photos / "box").iterdir()} == {"photos.onnx", "model.json", "run_model.py"}
    answer("predict runs/photos new.png --out here --save overlay,ids,depth_mm,npy,json")
    assert "new" in run_elsewhere(
        [str(clean_python)], photos / "box" / "photos.onnx", [photos / "new.png"], photos / "there"
    )
    shares = alike(photos / "here", photos / "there", "new")
    assert {"ground-ids.png", "depth-mm.png"} <= {*shares}
    assert {name: share for name, share in shares.items() if share < 0.999} == {}
