"""Streams of a run: disjoint parts of the training split; the test split is read at the very end alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.cli.main import main
from frugalmtl.core.checks import UserError
from frugalmtl.engine.checkpoints import read_structure
from frugalmtl.experiment.comparison import run_grid
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.runs.build import build, build_dataset
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.streams.parts import stream_parts
from frugalmtl.experiment.runs.training import evaluate_run, train_run
from tests.integration.conftest import write_config
from tests.support.members.adding import add_members
from tests.support.steps import interrupted_at

Config = dict[str, Any]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A method that reads a stream of its own, keeps its best weights and looks at data, beside a held-out part."""
    add_members(monkeypatch)
    return {
        "data": {"name": "sealed", "log": str(tmp_path / "loads.txt"), "sealed": True},
        "backbone": {"name": "timm", "model": "test_resnet"},
        "encoder": {"name": "toy_groups", "keep": "best"},
        "decoder": {"name": "independent", "head": "linear"},
        "balancer": {"name": "auto_lambda"},
        "train": {"epochs": 4, "batch_size": 4, "evaluate_every": 1, "workers": 0},
    }


def loads(tmp_path: Path, split: str) -> list[str]:
    lines = (tmp_path / "loads.txt").read_text().split("\n")
    return [line.split(" ")[1] for line in lines if line.startswith(f"{split} ")]


def test_the_test_split_is_not_read_before_the_end(
    tmp_path: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_run(parse(Experiment, config), tmp_path / "run", progress=False)
    assert loads(tmp_path, "test") == []
    assert len(loads(tmp_path, "val")) == 4 * 8
    built, dataset = build(run.config, build_dataset(run.config)), build_dataset(run.config)
    parts = {name: list(one.samples.ids) for name, one in stream_parts(built, dataset).items()}
    assert sorted(parts["train"] + parts["validation"]) == sorted(dataset.split("train").ids)
    assert sorted(parts["own"] + parts["holdout"]) == sorted(parts["train"])
    structure = read_structure(run.weights)
    assert structure is not None
    assert structure["measured"]["names"] == parts["holdout"], "all of them once, in stored order"
    assert structure["measured"]["gain"] == 0.0
    assert structure["measured"]["scored"] == ["depth", "segmentation"]
    assert f"note: auto_lambda holds out 20% of the training split ({len(parts['validation'])} of 40 samples)" in (
        capsys.readouterr().err.replace("\n", " ")
    )
    with pytest.raises(UserError, match="the test split was opened"):
        evaluate_run(run, "test", progress=False)


@pytest.mark.slow
def test_a_comparison_reads_the_test_split_once_per_reported_run(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config["data"]["sealed"] = False
    config["train"]["epochs"] = 2
    file = write_config(
        tmp_path / "compare.yaml",
        {
            "base": config,
            "rows": {
                "single_task": {"encoder": {"name": "single_task"}, "balancer": {"name": "fixed"}},
                "search": {"shown": False},
                "taken": {
                    "encoder": {"name": "toy_groups", "search_share": 0},
                    "init_from": {"run": "search", "take": ["structure"], "seed": 1},
                },
            },
            "reference": "single_task",
            "seeds": [0, 1],
            "panels": 0,
            "latency_rounds": 1,
        },
    )
    train, read_while_training = run_grid.train_run, []

    def watched(*arguments: Any, **options: Any) -> Run:
        before = loads(tmp_path, "test") if (tmp_path / "loads.txt").exists() else []
        run = train(*arguments, **options)
        read_while_training.append(len(loads(tmp_path, "test")) - len(before))
        return run

    monkeypatch.setattr(run_grid, "train_run", watched)
    assert main(["compare", "--config", str(file), "--out", str(tmp_path / "out")]) == 0
    assert read_while_training == [0] * 5
    # Four runs are scored; then costs are measured on images of the split, and pictures show some.
    assert len(loads(tmp_path, "test")) == (4 + 2) * 8
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["name"] for row in results["rows"]] == ["single_task", "taken"]
    assert sorted(path.name for path in (tmp_path / "out" / "runs").iterdir()) == [
        "search-seed1",
        "single_task-seed0",
        "single_task-seed1",
        "taken-seed0",
        "taken-seed1",
    ]
    notes = results["protocol"]["notes"]
    assert any("learns its weights alone on it: taken (20%)" in note for note in notes)
    assert any("taken (of search, seed 1)" in note for note in notes)
    assert not any("start from another row's weights" in note for note in notes)
    for seed in (0, 1):
        taken = Run.open(tmp_path / "out" / "runs" / f"taken-seed{seed}").load().model.encoder
        assert taken.structure() == read_structure(Run.open(tmp_path / "out" / "runs" / "search-seed1").weights)


def test_what_selects_is_not_reported(tmp_path: Path, config: Config) -> None:
    config |= {"balancer": {"name": "dtp"}, "evaluate_split": "test"}
    with pytest.raises(
        UserError, match=r"balancer dtp reads the scores on evaluate_split .* 'test' is also test_split"
    ):
        train_run(parse(Experiment, config), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "loads.txt").exists()


@pytest.mark.slow
def test_a_run_that_held_out_nothing_goes_on_as_it_was(tmp_path: Path, config: Config) -> None:
    """As one of an earlier version did, whose config says nothing of it."""
    config["train"]["checkpoint_every"] = 3
    config["balancer"]["held_out"] = 0
    without = parse(Experiment, config)
    with interrupted_at(8):
        train_run(without, tmp_path / "run", progress=False)
    record = tmp_path / "run" / "config.yaml"
    record.write_text(record.read_text().replace("  held_out: 0\n", ""))
    assert Run.open(tmp_path / "run").config.balancer == {"name": "auto_lambda"}
    del config["balancer"]["held_out"]
    by_default = parse(Experiment, config)
    with pytest.raises(
        UserError, match=r"began with 0 of the training split .* set balancer.held_out to 0 to continue"
    ):
        train_run(by_default, tmp_path / "run", progress=False)
    run = train_run(without, tmp_path / "run", progress=False)
    assert run.finished
    assert train_run(without, tmp_path / "run", progress=False).finished
    config["balancer"]["held_out"] = 0.3
    with pytest.raises(UserError, match="differs in balancer"):
        train_run(parse(Experiment, config), tmp_path / "run", progress=False)
