"""One training step: training, dry run, step timing, benchmarks and contract tests all take the engine's."""

from __future__ import annotations

import argparse
import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import frugalmtl
from frugalmtl.balancing import BALANCERS
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.dry_run import dry_run
from frugalmtl.engine.step_timing import StepTimer, time_steps
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.training_cost import step_figures
from frugalmtl.experiment.runs.build import Built, build
from tests.contracts import test_combinations
from tests.support.tiny_training import build_balancer, build_batch, build_model, run

ROOT = Path(frugalmtl.__file__).parents[2]
HOOKS = ("before_step", "choose", "backward", "after_step")


class Noticed(Exception):  # noqa: N818  # it is no error
    """Raised by a hook that is broken on purpose."""


def experiment() -> Built:
    return build(
        Experiment(
            image_size=(32, 32),
            tasks=[{"kind": "segmentation", "classes": 4}, {"kind": "depth"}, {"kind": "classification", "classes": 3}],
            backbone={"name": "timm", "model": "test_resnet"},
            balancer={"name": "uniform"},
        )
    )


def by_training(folder: Path) -> None:
    run(folder, "shared", "uniform")


def by_dry_run(_: Path) -> None:
    dry_run(build_model(), build_balancer("uniform"), TrainSettings(), (6, 6))


def by_step_timing(_: Path) -> None:
    timer = StepTimer.at_stage(build_model(), build_balancer("uniform"), TrainSettings(), build_batch(0))
    time_steps({"one": timer}, 1)


def by_step_figures(_: Path) -> None:
    step_figures({"one": experiment()}, batch_size=2, rounds=1)


def by_combinations(_: Path) -> None:
    test_combinations.take_steps(experiment())


def benchmark(name: str) -> ModuleType:
    return importlib.import_module(name)


def by_training_step_benchmark(_: Path) -> None:
    module = benchmark("training_step")
    module.ROWS = {"hard sharing, uniform": module.ROWS["hard sharing, uniform"]}
    module.table("test_resnet", batch=2, pixels=32, rounds=1, device=torch.device("cpu"))


def by_interrogate_benchmark(_: Path) -> None:
    module = benchmark("interrogate_training")
    module.ROWS = {module.HARD: module.ROWS[module.HARD]}
    setting = module.Setting("tiny", {"name": "timm", "model": "test_resnet"}, {"name": "linear"}, 2)
    module.table(setting, 2, 32, 1, 2, torch.device("cpu"))


def by_adashare_benchmark(_: Path) -> None:
    module = benchmark("adashare.search")
    setting = module.Setting("tiny", {"name": "timm", "model": "test_resnet"})
    module.searching(setting, "policy", 2, module.Images(2, 32, torch.device("cpu"))).take()


def by_balancing_benchmark(_: Path) -> None:
    benchmark("balancing_step").distance(experiment(), experiment(), argparse.Namespace(batch=2))


CALLERS: list[Callable[[Path], None]] = [
    by_training,
    by_dry_run,
    by_step_timing,
    by_step_figures,
    by_combinations,
    by_training_step_benchmark,
    by_interrogate_benchmark,
    by_adashare_benchmark,
    by_balancing_benchmark,
]


@pytest.fixture(autouse=True)
def _benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.__name__)
@pytest.mark.parametrize("hook", HOOKS)
def test_a_broken_hook_is_noticed(
    hook: str, caller: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise Noticed(hook)

    plain = BALANCERS.get("uniform")
    monkeypatch.setattr(next(owner for owner in plain.__mro__ if hook in vars(owner)), hook, broken)
    with pytest.raises(Noticed, match=hook):
        caller(tmp_path)


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.__name__)
def test_callers_finish_when_nothing_is_broken(caller: Callable[[Path], None], tmp_path: Path) -> None:
    caller(tmp_path)


def test_hooks_of_a_step_are_called_in_one_file() -> None:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py"), *Path(__file__).parent.glob("*.py")]
    callers = {
        path.relative_to(ROOT).as_posix()
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"before_step", "after_step"}
    }
    # The device of the waits' test is a pretended one, on which no Fabric, optimiser or mixed precision can be set up.
    assert callers == {"src/frugalmtl/engine/step/take.py", "tests/contracts/test_host_waits.py"}
