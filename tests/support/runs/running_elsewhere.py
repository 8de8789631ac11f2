"""``run_model.py`` beside an exported network, run by another Python; its files against those of ``predict``."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

BLOCKED = ("torch", "torchvision", "timm", "frugalmtl", "matplotlib", "scipy", "skimage", "onnx", "safetensors", "yaml")
WITHOUT = f"""
import runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(f"{{name}} is not there")
sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_elsewhere(command: Sequence[str], model: Path, photos: Sequence[Path], out: Path) -> str:
    """The output of the script for photographs.

    Args:
        command: a Python, and options before the script's path.
        model: the exported network.
        photos: the photographs.
        out: folder of the files.
    """
    script = [str(model.with_name("run_model.py")), *map(str, photos), "--model", str(model), "--out", str(out)]
    done = subprocess.run(
        [*command, *script, "--save", "overlay,ids,depth_mm,npy,json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def alike(predicted: Path, elsewhere: Path, name: str) -> dict[str, float]:
    """Share of values that agree, by file: classes exactly, others within a hundredth, colours within 3 of 255."""
    shares = {}
    for path in sorted(elsewhere.glob(f"{name}-*")):
        one, other = (_values(folder / path.name) for folder in (predicted, elsewhere))
        assert one.shape == other.shape
        exact = path.name.endswith("-ids.png") or (one.dtype.kind in "iu" and path.suffix == ".npy")
        close = one == other if exact else np.abs(one.astype(float) - other) <= _tolerance(path, one)
        shares[path.name.removeprefix(f"{name}-")] = float(np.mean(close))
    return shares


def _tolerance(path: Path, values: np.ndarray) -> float:
    if path.suffix == ".npy":
        return 0.01 * max(1.0, float(np.abs(values).max()))
    return 20.0 if path.name.endswith("-mm.png") else 3.0


def _values(path: Path) -> np.ndarray:
    return np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path))
