"""The end of a stage on two processes: both see the same data, scores and cost, and decide the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow


def start(folder: Path, processes: int) -> list[dict[str, Any]]:
    """What the method of each process has measured."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    arguments = ["-m", "tests.support.runs.measuring_processes", str(folder)]
    command = [sys.executable, *(launcher if processes > 1 else []), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


def test_processes_agree_on_what_they_measure(tmp_path: Path) -> None:
    (alone,), (first, second) = start(tmp_path / "alone", 1), start(tmp_path / "two", 2)
    assert first == second
    assert first["names"] == alone["names"]
    assert first["macs"] == alone["macs"]
    assert first["latency"] > 0
