"""Training on two processes (gloo, CPU)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow


def start(folder: Path, encoder: str, balancer: Any, *, processes: int, stop: int = 0) -> list[dict[str, Tensor]]:
    """Run to the end (or to step ``stop``); weights as every process has them."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    arguments = ["-m", "tests.unit.engine.two_processes", str(folder), encoder, json.dumps(balancer), str(stop)]
    command = [sys.executable, *(launcher if processes > 1 else []), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return [load_file(folder / f"{rank}.safetensors") for rank in range(processes)] if not stop else []


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("encoder", ["shared", "stitched"])
def test_loss_balancers_equal_one_process_with_the_joint_batch(encoder: str, tmp_path: Path) -> None:
    two = start(tmp_path / "two", encoder, "uncertainty", processes=2)
    (one,) = start(tmp_path / "one", encoder, "uncertainty", processes=1)
    assert_equal(two[0], two[1])
    if encoder == "shared":  # the other draws a policy per process
        for name, value in one.items():
            torch.testing.assert_close(two[0][name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("level", ["representation", "parameters"])
def test_gradient_balancers_keep_the_processes_together(level: str, tmp_path: Path) -> None:
    two = start(tmp_path / "two", "shared", {"name": "pcgrad", "gradients_at": level}, processes=2)
    assert_equal(two[0], two[1])


def test_interrupted_runs_end_bit_identical(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", "shared", "pcgrad", processes=2)
    start(tmp_path / "parts", "shared", "pcgrad", processes=2, stop=5)
    parts = start(tmp_path / "parts", "shared", "pcgrad", processes=2)
    assert_equal(whole[0], parts[0])
    assert_equal(whole[1], parts[1])
