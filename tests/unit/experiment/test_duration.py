"""Expected duration of trainings: a sum over stages, announced before the first one, only where one is pending."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from rich.console import Console

from frugalmtl.engine.step_timing import StepTimer
from frugalmtl.experiment.comparison import announcement
from frugalmtl.experiment.comparison.announcement import announce
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.measure.duration import expected_seconds
from frugalmtl.experiment.runs.build import build

CONFIG: dict[str, Any] = {
    "image_size": [32, 32],
    "tasks": [{"kind": "segmentation", "classes": 3}, {"kind": "depth"}],
    "backbone": {"name": "timm", "model": "test_resnet"},
    "decoder": {"name": "independent", "head": "linear"},
}


def experiment(encoder: dict[str, Any], **train: Any) -> Experiment:
    return parse(Experiment, {**CONFIG, "encoder": encoder, "train": {"batch_size": 4, **train}})


def test_a_duration_is_the_sum_over_stages_and_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = []

    def time(self: StepTimer, *, parts: bool = False) -> dict[str, float]:
        assert parts
        stages.append(self.setup.stage.name)
        slow = len(stages) > 1
        return {"total": 3000.0 if slow else 1000.0, "forward": 500.0 if slow else 300.0}

    monkeypatch.setattr(StepTimer, "time", time)
    config = experiment({"name": "cross_stitch", "pretrain_share": 0.4}, epochs=5, accumulate=2)
    built = build(config)
    before = [parameter.detach().clone() for parameter in built.model.parameters()]
    seconds = expected_seconds(config, built, training_images=9, evaluated_images=40)
    assert stages == [stage.name for stage in built.model.recipe()]
    # 2 whole batches an epoch: 2 epochs of 1 s a step, 3 epochs of 3 s; 10 batches of 0.4 s.
    assert seconds == pytest.approx(2 * 2 * 1.0 + 3 * 2 * 3.0 + 10 * 0.4)
    for parameter, value in zip(built.model.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


class GridOfTwo:
    """Two rows; one of them may be finished."""

    def __init__(self, finished: set[str]) -> None:
        self.finished = finished

    def cells(self) -> list[tuple[int, str]]:
        return [(0, "one"), (0, "two")]

    def run(self, row: str, seed: int) -> Any:
        return SimpleNamespace(finished=row in self.finished, folder=Path(row))


def said(grid: GridOfTwo, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(announcement, "row_seconds", lambda *_: 80.0)
    output = io.StringIO()
    announce(cast(Any, grid), Console(file=output, width=200))
    return output.getvalue()


def test_pending_trainings_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "2 trainings and the report: about 3 minutes" in said(GridOfTwo(set()), monkeypatch)
    assert "1 training and the report: about 2 minutes" in said(GridOfTwo({"one"}), monkeypatch)


def test_nothing_is_announced_where_all_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(GridOfTwo({"one", "two"}), monkeypatch) == ""
