"""A sweep: one call gives the whole curve; whatever is killed goes on, and nothing is trained twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from frugalmtl.cli.main import main
from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.delta import delta_mtl
from frugalmtl.experiment.comparison.results import primary_scores
from frugalmtl.experiment.comparison.run_grid import RunGrid
from frugalmtl.experiment.comparison.sweep import sweep
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.config.sweep import Sweep
from frugalmtl.experiment.runs.run import Run
from frugalmtl.report import Results, load_results
from tests.integration.conftest import write_config

pytest.importorskip("optuna")

Config = dict[str, Any]


@pytest.fixture
def config(experiment: Config) -> Config:
    """A sweep of two fixed rows and two points."""
    base = {key: value for key, value in experiment.items() if key != "name"}
    return {
        "name": "curve",
        "reference": "single_task",
        "panels": 1,
        "latency_rounds": 1,
        "base": base,
        "rows": {"single_task": {"encoder": {"name": "single_task"}}, "hard_sharing": {"title": "Shared"}},
        "sweep": {
            "row": {"title": "Stitch", "encoder": {"name": "cross_stitch", "pretrain_share": 0.0}},
            "key": "encoder.own",
            "values": [0.6, 0.9],
        },
    }


def logs(folder: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in sorted(folder.glob("runs/*/log.jsonl"))}


@pytest.mark.slow
def test_one_call_gives_the_curve(tmp_path: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_config(tmp_path / "sweep.yaml", config)
    assert main(["sweep", "--config", str(file), "--out", str(tmp_path / "out")]) == 0
    results = load_results(tmp_path / "out" / "results.json")
    assert [row.label for row in results.rows] == ["single_task", "Shared", "Stitch 0.6", "Stitch 0.9"]
    assert [row.curve for row in results.rows] == ["", "", "Stitch", "Stitch"]
    assert [row.config["encoder"].get("own") for row in results.rows] == [None, None, 0.6, 0.9]
    assert "Stitch" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_without_training_again(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parse(Sweep, config)
    trained: list[str] = []
    train = RunGrid.train

    def interrupted(self: RunGrid, row: str, seed: int, *, progress: bool = True) -> Any:
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(row)
        return train(self, row, seed, progress=progress)

    with monkeypatch.context() as patch:
        patch.setattr(RunGrid, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sweep(settings, tmp_path, progress=False)
    before = logs(tmp_path)
    assert len(before) == 3
    results = sweep(settings, tmp_path, progress=False)
    after = logs(tmp_path)
    assert len(results.rows) == len(after) == 4
    assert {name: after[name] for name in before} == before


@pytest.mark.slow
def test_a_grid_that_grows_keeps_its_runs(tmp_path: Path, config: Config) -> None:
    del config["sweep"]["key"], config["sweep"]["values"], config["rows"]["hard_sharing"]
    config["sweep"]["grid"] = {"encoder.own": [0.6, 0.9], "encoder.other": [0.1]}
    sweep(parse(Sweep, config), tmp_path, progress=False)
    before = logs(tmp_path)
    config["sweep"]["grid"]["encoder.other"] = [0.0, 0.1]
    config["colour_by"] = "encoder.other"
    results = sweep(parse(Sweep, config), tmp_path, progress=False)
    after = logs(tmp_path)
    assert len(before) == 3
    assert {name: after[name] for name in before} == before, "with their times: nothing was trained again"
    pairs = [(row.config["encoder"]["own"], row.config["encoder"]["other"]) for row in results.rows[1:]]
    assert pairs == [(0.6, 0.0), (0.6, 0.1), (0.9, 0.0), (0.9, 0.1)]
    assert results.rows[1].label == "Stitch other 0.0, own 0.6"
    assert {row.curve for row in results.rows[1:]} == {"Stitch other 0.0", "Stitch other 0.1"}
    assert results.colour_by == "encoder.other"
    assert load_results(tmp_path / "results.json").colour_by == "encoder.other"


@pytest.mark.slow
def test_a_range_is_searched_on_a_split_that_is_not_reported(tmp_path: Path, config: Config) -> None:
    del config["sweep"]["values"], config["rows"]["hard_sharing"]
    config["base"]["tasks"] = ["depth"]  # the other one scores 0 after so little training
    config["sweep"].update(key="train.optimizer.lr", low=1.0e-4, high=1.0e-2, log=True, trials=3, curve="rates")
    console = Console(width=200, record=True, file=(tmp_path / "printed.txt").open("w"))
    results = sweep(parse(Sweep, config), tmp_path / "out", progress=False, console=console)
    points = [row for row in results.rows if row.curve == "rates"]
    rates = [row.config["train"]["optimizer"]["lr"] for row in points]
    assert len(rates) == 3
    assert rates == sorted(rates)
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    journal = [json.loads(line) for line in (tmp_path / "out" / "sweep.journal").read_text().splitlines()]
    values = [line["values"] for line in journal if line.get("values")]
    judged = {(round(gain_on("val", results, row.name), 6), row.cost.deployed.macs) for row in points}
    assert {(round(gain, 6), macs) for gain, macs in values} == judged
    assert {gain for gain, _ in judged}.isdisjoint({round(row.delta_mtl_mean, 6) for row in points})
    assert "values were chosen by Delta_MTL and multiply-adds on split 'val'\n" in console.export_text()


def gain_on(split: str, results: Results, row: str) -> float:
    """Delta_MTL of a row's first run on a split."""
    point, reference = (Run.open(results.row(name).run_dirs[0]) for name in (row, results.reference))
    tasks = [task for task in point.network().tasks if not task.auxiliary]
    scores, single = (primary_scores(run, split, tasks) for run in (point, reference))
    return delta_mtl(scores, single, {task.name: task.higher_is_better for task in tasks})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweep": {"key": "encoder.onw"}}, "Did you mean 'own'"),
        ({"sweep": {"values": ["most"]}}, "own must be a number"),
        ({"sweep": {"key": None, "values": None, "grid": {"encoder.onw": [0.5]}}}, "Did you mean 'own'"),
        ({"colour_by": "encoder.onw"}, "no row has a value under the key 'encoder.onw'"),
        ({"sweep": {"trails": 3}}, "Did you mean 'trials'"),
        ({"base": {"train": {"devices": 2}}}, "take several workers"),
        ({"sweap": 1}, "Did you mean 'sweep'"),
    ],
    ids=str,
)
def test_mistakes_come_before_the_first_file(
    changes: Config, message: str, tmp_path: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    for section, change in changes.items():
        config[section] = {**config.get(section, {}), **change} if isinstance(change, dict) else change
    file = write_config(tmp_path / "sweep.yaml", config)
    assert main(["sweep", "--config", str(file), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()


def test_a_training_that_fails_is_named(tmp_path: Path, config: Config) -> None:
    config["base"]["train"]["optimizer"] = {"name": "sgd", "lr": 1.0e30}
    config["sweep"].update(key="train.optimizer.lr", values=[1.0e29])
    with pytest.raises(UserError, match="single_task-seed0: training stopped"):
        sweep(parse(Sweep, config), tmp_path, progress=False)


def test_workers_are_counted_from_one(tmp_path: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_config(tmp_path / "sweep.yaml", config)
    assert main(["sweep", "--config", str(file), "--out", str(tmp_path / "out"), "--workers", "0"]) == 2
    assert "workers must be above 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def start(file: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "frugalmtl", "sweep", "--config", str(file), "--out", str(folder), *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )


def started(output: str) -> list[str]:
    """The runs whose training a process told of."""
    lines = [line.removesuffix(" (seed 0)") for line in output.splitlines() if line.endswith(" (seed 0)")]
    assert all(re.search(r", run \d+ of \d+$", line) for line in lines)
    return [line.rpartition(", run ")[0] for line in lines]


@pytest.mark.slow
def test_a_killed_point_goes_on_where_it_was(tmp_path: Path, config: Config) -> None:
    config["sweep"]["values"] = [0.6]
    config["sweep"]["row"]["train"] = {"epochs": 40}
    file, folder = write_config(tmp_path / "sweep.yaml", config), tmp_path / "out"
    log = folder / "runs" / "stitch_0_6-seed0" / "log.jsonl"
    first = start(file, folder)
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count('"event": "epoch"') >= 5):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not (log.parent / "checkpoints" / "final").exists()
    before = [line for line in log.read_text().splitlines() if '"event": "epoch"' in line]
    second = start(file, folder)
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, output
    after = [line for line in log.read_text().splitlines() if '"event": "epoch"' in line]
    assert len(after) == 40
    assert after[:3] == before[:3], "with their times: these epochs were not trained again"
    assert started(output) == ["Stitch 0.6"]
    assert [row.name for row in load_results(folder / "results.json").rows][-1] == "stitch_0_6"


@pytest.mark.slow
@pytest.mark.parametrize("by", ["hand", "the command"])
def test_processes_share_the_work(by: str, tmp_path: Path, config: Config) -> None:
    config["sweep"]["values"] = [0.5, 0.6, 0.7, 0.8, 0.9]
    file, folder = write_config(tmp_path / "sweep.yaml", config), tmp_path / "out"
    processes = [start(file, folder), start(file, folder)] if by == "hand" else [start(file, folder, "--workers", "2")]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    trained = [name for output in outputs for name in started(output)]
    stitched = [f"Stitch {value}" for value in config["sweep"]["values"]]
    assert sorted(trained) == sorted(["single_task", "Shared", *stitched]), "each run once, whoever made it"
    assert [row.label for row in load_results(folder / "results.json").rows] == ["single_task", "Shared", *stitched]
    assert sum("best Delta_MTL" in output for output in outputs) >= 1
