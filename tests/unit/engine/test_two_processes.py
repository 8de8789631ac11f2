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

from frugalmtl.balancing import BALANCERS

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow


LEVELS = ["representation", "parameters", "parameters_batched"]
SECTIONS: list[dict[str, Any]] = [
    {"name": name, **({"gradients_at": level} if level else {})}
    for name in BALANCERS.names()
    for level in (LEVELS if "gradients_at" in BALANCERS.schema(name) else [None])
    if level is None or level in BALANCERS.get(name).levels
]
SECTIONS += [{"name": "pcgrad", "losses": "geometric_mean"}, {"name": "grad_drop", "losses": "rlw"}]


def start(
    folder: Path, encoder: str, balancers: list[Any], *, processes: int, stop: int = 0, **settings: Any
) -> list[Any]:
    """Run to the end (or to step ``stop``); per balancer, the weights as every process has them."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    arguments = ["-m", "tests.support.training_processes", str(folder), encoder, json.dumps(balancers), str(stop)]
    arguments.append(json.dumps(settings))
    command = [sys.executable, *(launcher if processes > 1 else []), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    lines = [line for line in done.stderr.splitlines() if "Error" in line or "File" in line]
    assert done.returncode == 0, "\n".join(lines[:40])
    if stop:
        return []
    places = [folder / str(index) for index in range(len(balancers))]
    return [[load_file(place / f"{rank}.safetensors") for rank in range(processes)] for place in places]


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("measure", [False, True])
def test_every_balancer_equals_one_process_with_the_joint_batch(measure: bool, tmp_path: Path) -> None:
    """Gradients of every task are those of the joint batch before anything is made of them."""
    sections, settings = SECTIONS, {}
    if measure:  # in some steps only: the tasks that steps are for, and the parameters they use, change meanwhile
        sections = [section for section in SECTIONS if not BALANCERS.get(section["name"]).explicit_reduction]
        settings = {"interference_every": 3, "affinity_every": 2}
    two = start(tmp_path / "two", "shared", sections, processes=2, **settings)
    one = start(tmp_path / "one", "shared", sections, processes=1, **settings)
    wrong = []
    for section, pair, (alone,) in zip(sections, two, one, strict=True):
        assert_equal(*pair)
        for name, value in alone.items():
            # Weights that Adam moves by the sign of small differences keep fewer digits.
            if not torch.allclose(pair[0][name], value, rtol=1e-4, atol=2e-4 if name.startswith("balancer") else 1e-5):
                wrong.append((section, name, float((pair[0][name] - value).abs().max())))
    assert wrong == []


def test_processes_with_policies_of_their_own_stay_together(tmp_path: Path) -> None:
    (two,) = start(tmp_path / "two", "stitched", ["uncertainty"], processes=2)
    assert_equal(*two)


@pytest.mark.parametrize("encoder", ["alternating", "splitting"])
def test_turns_and_decisions_keep_processes_together(encoder: str, tmp_path: Path) -> None:
    """Under the strategy's wrapper and without: what trains changes by turns, and the network at a stage's end."""
    sections = ["uniform", {"name": "pcgrad", "gradients_at": "parameters"}]
    whole = start(tmp_path / "whole", encoder, sections, processes=2, epochs=4)
    for first, second in whole:
        apart = {name for name, value in first.items() if not torch.equal(value, second[name])}
        assert apart <= {"encoder.heat"}, "only what each process draws for itself"
    start(tmp_path / "parts", encoder, ["uniform"], processes=2, stop=5, epochs=4)
    (parts,) = start(tmp_path / "parts", encoder, ["uniform"], processes=2, epochs=4)
    assert_equal(whole[0][0], parts[0])


@pytest.mark.parametrize("balancer", ["pcgrad", "grad_norm"])
def test_interrupted_runs_end_bit_identical(balancer: str, tmp_path: Path) -> None:
    ((first, second),) = start(tmp_path / "whole", "shared", [balancer], processes=2)
    start(tmp_path / "parts", "shared", [balancer], processes=2, stop=5)
    (parts,) = start(tmp_path / "parts", "shared", [balancer], processes=2)
    assert_equal(first, parts[0])
    assert_equal(second, parts[1])
