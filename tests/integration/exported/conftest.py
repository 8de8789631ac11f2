"""A run of every task, trained at another size than its images have, and its files."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frugalmtl.cli.main import main
from tests.integration.conftest import EXPERIMENT, write_config

PACKAGES = ("onnxruntime", "numpy", "pillow")


@pytest.fixture(scope="session")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own that has the packages of the script beside a file, and no other."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *PACKAGES]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode and ("No matching distribution" in done.stderr or "connection" in done.stderr.lower()):
        pytest.skip(f"no package index: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, room_cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    data = {**EXPERIMENT["data"], "cache": str(room_cache)}
    content: dict[str, Any] = {**EXPERIMENT, "data": data, "tasks": None, "image_size": [32, 96]}
    content["train"] = {**EXPERIMENT["train"], "epochs": 4}
    assert (
        main(["train", "--config", str(write_config(folder / "tiny.yaml", content)), "--out", str(folder / "run")]) == 0
    )
    return folder / "run"


@pytest.fixture(scope="session")
def files(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two ONNX files: raw and decoded."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("files")
    deploy = ["deploy", str(run), "--format", "onnx"]
    assert main([*deploy, "--out", str(folder / "raw.onnx")]) == 0
    assert main([*deploy, "--out", str(folder / "decoded.onnx"), "--decoded", "--batch", "2"]) == 0
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A photograph of the network's size, and one of another."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photographs")
    coffee = Image.fromarray(np.asarray(data.coffee()))
    paths = [folder / "fitting.png", folder / "large.png"]
    for path, size in zip(paths, [(96, 32), (150, 100)], strict=True):
        coffee.resize(size, Image.Resampling.BILINEAR).save(path)
    return paths
