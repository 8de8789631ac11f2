"""Processes of a sweep train side by side; while one measures, nothing else is under way.

Trainings and measurements are stood for by waits, and processes by threads: the locks are those of the system, which
part threads as they part processes.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from rich.console import Console

from frugalmtl.core.types import Scores
from frugalmtl.experiment.comparison import compare as comparing
from frugalmtl.experiment.comparison import run_grid
from frugalmtl.experiment.comparison import sweep as sweeping
from frugalmtl.experiment.comparison.run_grid import RunGrid
from frugalmtl.experiment.comparison.turns import CLAIMS, measuring, working
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse, to_yaml
from frugalmtl.experiment.config.sweep import Sweep
from frugalmtl.experiment.runs.run import Run
from tests.support.toy_folder import dataset_file, experiment_file, write_folder

pytest.importorskip("optuna")

SHORT, LONG = 0.1, 0.4
SHARER = """
import sys, time
from pathlib import Path
from frugalmtl.core.disk.locks import Locks
with Locks(Path(sys.argv[1])).share("work"):
    print("trains", flush=True)
    time.sleep(600)
"""


class Diary:
    """What each thread did, from when to when."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, float, float]] = []

    @contextmanager
    def entry(self, kind: str, seconds: float) -> Iterator[None]:
        begin = time.monotonic()
        time.sleep(seconds)
        yield
        self.entries.append((kind, threading.current_thread().name, begin, time.monotonic()))

    def of(self, *kinds: str) -> list[tuple[str, str, float, float]]:
        return [entry for entry in self.entries if entry[0] in kinds]

    def overlaps(self, *alone: str) -> list[str]:
        """Entries of one thread that lie beside those of others which should have been alone."""
        return [
            f"{kind} of {who} beside {other} of {whose}"
            for kind, who, begin, end in self.of(*alone)
            for other, whose, start, stop in self.entries
            if whose != who and start < end and begin < stop
        ]


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> Diary:
    """Waits in place of trainings, checks, counts and reports; they are written down."""
    diary = Diary()

    def train(config: Experiment, folder: Path, **_: Any) -> Run:
        run = Run(folder, config)
        if not run.finished:
            with diary.entry("training", LONG):
                run.weights.mkdir(parents=True)
                (folder / "config.yaml").write_text(to_yaml(config))
        return run

    def score(run: Run, *_: Any, **__: Any) -> Scores:
        (run.folder / f"scores-{run.config.test_split}.json").write_text('{"seg": {"miou": 0.5}}')
        return {}

    def check(*_: Any, **__: Any) -> list[str]:
        with diary.entry("check", SHORT):
            return []

    def count(worker: sweeping.Worker, value: Any) -> tuple[float, float] | None:
        row = (worker._rows or {}).get(value)
        if row is None or not worker._grid.done(row, 0):
            return None
        with diary.entry("count", SHORT):
            return 0.0, 1.0

    def report(_: Any, __: Any, ___: Any, folder: Path, **____: Any) -> Any:
        with diary.entry("measurement", LONG):
            (folder / "report.html").write_text("")
        row = SimpleNamespace(name="single", label="single", delta_mtl_mean=math.nan)
        return SimpleNamespace(row=lambda _: row, reference=row.name)

    monkeypatch.setattr(run_grid, "train_run", train)
    monkeypatch.setattr(run_grid, "evaluate_run", score)
    monkeypatch.setattr(run_grid, "check_training", check)
    monkeypatch.setattr(sweeping.Worker, "_score", count)
    monkeypatch.setattr(sweeping, "PAUSE", 0.05)
    monkeypatch.setattr(comparing, "_report", report)
    monkeypatch.setattr(comparing, "print_table", lambda *_: None)
    monkeypatch.setattr(comparing, "rank_rows", lambda _: ["single"])
    return diary


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Sweep]:
    """The sweep of one fixed row and some values."""
    write_folder(tmp_path, 4, (16, 16), folders=("image", "seg", "depth"))
    base = yaml.safe_load(experiment_file(tmp_path, dataset_file(tmp_path), image_size=[16, 16]).read_text())
    del base["name"]

    def make(*values: float) -> Sweep:
        axis = {"key": "train.optimizer.lr", "values": list(values), "row": {"title": "rate"}}
        rows = {"single": {"encoder": {"name": "single_task"}}}
        return parse(Sweep, {"base": base, "rows": rows, "reference": "single", "sweep": axis})

    return make


def begin(name: str, settings: Sweep, folder: Path) -> threading.Thread:
    def work() -> None:
        sweeping.sweep(settings, folder, progress=False, console=Console(quiet=True))

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def wait_for(ready: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_is_under_way_while_anything_is_measured(
    diary: Diary, settings: Callable[..., Sweep], tmp_path: Path
) -> None:
    """The second comes late and has more values, so it trains on when the first has all that it reports."""
    folder = tmp_path / "out"
    first = begin("first", settings(0.1, 0.2), folder)
    wait_for(lambda: (folder / CLAIMS / "work.1.lock").exists())
    late = begin("late", settings(0.1, 0.2, 0.3, 0.4, 0.5), folder)
    for thread in (first, late):
        thread.join(60)
    assert len(diary.of("training")) == 6, "each run once"
    assert {who for _, who, *_ in diary.of("training")} == {"first", "late"}
    assert {who for _, who, *_ in diary.of("measurement")} == {"first", "late"}
    assert diary.overlaps("measurement") == []
    assert diary.overlaps("training"), "trainings lie beside each other"


def test_a_worker_that_is_killed_while_it_trains_holds_up_no_measurement(
    diary: Diary, settings: Callable[..., Sweep], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-c", SHARER, str(folder / CLAIMS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "trains\n"
        worker = begin("worker", settings(0.1), folder)
        wait_for(lambda: "waiting until another process ends its work" in caplog.text or not worker.is_alive())
        assert len(diary.of("training")) == 2
        assert diary.of("measurement") == [], "another process trains"
        other.kill()
        other.wait()
    worker.join(60)
    assert len(diary.of("measurement")) == 1


def test_a_run_whose_budget_is_in_milliseconds_trains_alone(
    diary: Diary, settings: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = SimpleNamespace(model=SimpleNamespace(encoder=SimpleNamespace(target_latency_ms=5.0)))
    grid = RunGrid.of(sweeping.expand(settings(0.1, 0.2), [0.1, 0.2]), tmp_path / "out")
    monkeypatch.setattr(run_grid, "build", lambda *_: built)
    (tmp_path / "out" / CLAIMS).mkdir(parents=True)
    threads = [threading.Thread(target=grid.train, args=cell[::-1], name=cell[1]) for cell in grid.cells()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(diary.of("training")) == 3
    assert diary.overlaps("training") == []


def test_a_comparison_without_a_sweep_needs_no_turns(tmp_path: Path) -> None:
    with measuring(tmp_path), working(tmp_path):
        assert list(tmp_path.iterdir()) == []
