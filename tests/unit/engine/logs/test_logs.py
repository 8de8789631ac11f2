"""The log of a run, and what a person sees of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.engine.logs import ProgressDisplay
from frugalmtl.engine.logs.run_log import FILE, RunLog
from tests.support.tiny_training import run

Patch = pytest.MonkeyPatch


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


def test_a_run_logs_steps_and_epochs(tmp_path: Path) -> None:
    run(tmp_path, "stitched", "uncertainty", log_every=2, evaluate_every=2, evaluate=lambda _: {"depth": {"rmse": 2.5}})
    actual = records(tmp_path)
    steps = [record for record in actual if record["event"] == "step"]
    epochs = [record for record in actual if record["event"] == "epoch"]
    assert [record["step"] for record in steps] == list(range(2, 21, 2))
    assert steps[-1].keys() >= {
        "stage",
        "epoch",
        "lr_factor",
        "learning_rates",
        "losses",
        "penalties",
        "weights",
        "statistics",
        "seconds",
    }
    assert list(steps[-1]["losses"]) == ["segmentation", "segmentation@initial", "depth", "edges"]
    assert [record["epoch"] for record in epochs] == [0, 1, 2, 3]
    assert [record.get("scores") for record in epochs] == [None, {"depth": {"rmse": 2.5}}] * 2


def test_what_came_after_the_checkpoint_is_dropped(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for step in (1, 2, 3):
        log.write("step", step, {"x": step})
    with (tmp_path / FILE).open("a") as file:
        file.write('{"event": "st')
    (tmp_path / f".{FILE}.abc.tmp").write_text("left by a killed process")
    RunLog(tmp_path, step=2).write("step", 3, {"x": 33})
    assert [record["x"] for record in records(tmp_path)] == [1, 2, 33]
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    RunLog(tmp_path)
    assert records(tmp_path) == []


def test_other_processes_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = RunLog(None, loggers=["tensorboard", "csv"])
    log.write("step", 1, {"x": 1})
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(UserError, match=r"cannot write .*log\.jsonl"):
        log.write("step", 1, {})


def test_silence_lines_or_a_bar(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "auto")
    assert capsys.readouterr() == ("", "")
    run(tmp_path / "plain", progress="plain")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("train, epoch 1/4  segmentation ")
    assert lines[-1].endswith("0:00 left")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    display = ProgressDisplay("auto", 10, 4)
    display.step(7, "train, epoch 2/3")
    display.epoch("train, epoch 2/3", {"depth": 1.0}, 61.0)
    display.close()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "7/10" in shown.err
    assert "train, epoch 2/3  depth 1.0000\n" in shown.err
