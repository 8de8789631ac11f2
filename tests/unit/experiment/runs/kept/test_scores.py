"""Scores of a run, kept apart for every split and operating point."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.evaluator import Evaluation
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.training import evaluate_run
from tests.support.toys.adding import add_toys


def test_scores_of_operating_points_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_toys(monkeypatch, tmp_path, "toy_router")
    run = Run(tmp_path, Experiment(encoder={"name": "toy_router", "points": ["0.2x", "1.2G"]}))
    for value, each in enumerate((run, run.at("0.20x"), run.at("1.2G"))):
        each.write_scores("test", Evaluation({"depth": {"rmse": float(value)}}, {}))
    assert sorted(path.name for path in tmp_path.glob("scores-*")) == [
        "scores-test.json",
        "scores-test@0.2x.json",
        "scores-test@1.2G.json",
    ]
    assert [each.scores("test")["depth"]["rmse"] for each in (run, run.at("0.2x"), run.at("1.2G"))] == [0, 1, 2]
    assert not run.at("0.2x").scores("val", missing_ok=True)


def test_a_point_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_toys(monkeypatch, tmp_path, "toy_router")
    run = Run(tmp_path / "none", Experiment(encoder={"name": "toy_router", "points": ["0.2x"]}))
    with pytest.raises(UserError, match=r"none: unknown budget '0.4x': expected one of 0.2x"):
        run.deployed(point="0.4x")
    with pytest.raises(UserError, match=r"none: unknown budget '0.4x'"):
        run.export("torch_export", point="0.4x")
    with pytest.raises(UserError, match=r"a budget \(0.2x\) is one of the deployed model"):
        evaluate_run(run, "test", deployed=False, point="0.2x")
