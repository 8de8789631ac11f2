"""Runs that are killed without warning, also while they write a checkpoint."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.support.killable_training import train_until_killed
from tests.support.tiny_training import run

ROOT = Path(__file__).parents[3]


def assert_same_weights(first: Path, second: Path) -> None:
    for file in ("model.safetensors", "balancer.safetensors"):
        assert (first / "checkpoints/final" / file).read_bytes() == (second / "checkpoints/final" / file).read_bytes()
        assert load_file(first / "checkpoints/final" / file)


@pytest.mark.slow
def test_killed_at_any_file_operation(tmp_path: Path) -> None:
    """Every process is killed a little later than the one before, until one comes through."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.killable_training"])
    source = random.Random(2)
    kills = [source.randrange(1, 60) for _ in range(14)]
    codes = []
    for kill_at in [*kills, 0]:
        process = context.Process(target=train_until_killed, args=(tmp_path / "killed", kill_at))
        process.start()
        process.join(120)
        codes.append(process.exitcode)
    assert codes.count(-signal.SIGKILL) >= 8
    assert codes[-1] == 0
    run(tmp_path / "whole", "stitched", "uncertainty")
    assert_same_weights(tmp_path / "killed", tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "killed/checkpoints").iterdir()) == ["final", "last"]


@pytest.mark.slow
def test_killed_at_random_times(tmp_path: Path) -> None:
    """The same from outside, by the clock."""
    source = random.Random(3)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.killable_training", str(tmp_path / "killed")]
    for _ in range(6):
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        started = time.monotonic()
        while not (tmp_path / "killed/log.jsonl").exists() and time.monotonic() - started < 60:
            time.sleep(0.05)
        time.sleep(source.uniform(0.0, 8.0))
        process.kill()
        process.wait()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)
    run(tmp_path / "whole", "stitched", "uncertainty")
    assert_same_weights(tmp_path / "killed", tmp_path / "whole")
