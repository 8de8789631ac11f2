"""The guide on deploying, executed from its first command to its last."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from frugalmtl.cli.main import main

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "deploy.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_guide(
    run: Path,
    photographs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnxruntime")
    shutil.copytree(run, tmp_path / "runs" / "photos")
    shutil.copy(photographs[1], tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    programs = []
    for language, text in BLOCK.findall(GUIDE.read_text(encoding="utf-8")):
        if language == "python":
            programs.append(text)
            done = subprocess.run([sys.executable, "-c", "".join(programs)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        else:
            for line in text.splitlines():
                _run(shlex.split(line))
    assert "RGB [0, 255] metres" in done.stdout
    assert "wall" in done.stdout or "floor" in done.stdout or "median depth" in done.stdout
    written = {path.name for path in (tmp_path / "runs" / "photos" / "deployed").iterdir()}
    assert written == {"tiny.onnx", "tiny_depth.onnx", "tiny.pt2", "tiny.safetensors", "model.json", "run_model.py"}
    for folder in ("box", "runs/photos"):
        names = {path.name for path in (tmp_path / folder / "predictions").iterdir()}
        assert {"photo-segmentation.png", "photo-segmentation-ids.png", "photo-depth-mm.png", "photo.json"} <= names


def _run(words: list[str]) -> None:
    if words[0] == "frugalmtl":
        assert main(words[1:]) == 0
    else:
        assert words[0] == "python"
        subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=True)
