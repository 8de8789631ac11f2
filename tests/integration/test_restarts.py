"""Runs that go on, begin anew, or are refused: divergence, edited configs, two processes, Ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalmtl.cli.main import main
from frugalmtl.core.disk.locks import HOLDER
from tests.support.toy_folder import dataset_file, experiment_file, write_folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A training of a second."""
    write_folder(tmp_path, 8, (16, 16), folders=("image", "seg", "depth"))
    return experiment_file(tmp_path, dataset_file(tmp_path), image_size=[16, 16])


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("every", ["0", "100"])
def test_the_remedy_after_a_divergence_trains(
    every: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Diverge, then run the command of the message word for word; with a checkpoint it says how to start from it."""
    keys = ["--train.epochs", "8", "--train.optimizer.name", "sgd", "--train.optimizer.lr", "1e4"]
    run = tmp_path / "a run"
    command = ["train", "--config", str(config), "--out", str(run), *keys, "--train.checkpoint_every", every]
    advice = error_of(command, capsys).partition("for example: ")[2]
    text, _, more = advice.partition(" (and ")
    program, *remedy = shlex.split(text)
    assert program == "frugalmtl"
    assert main(remedy) == 0
    begun = every == "0"
    assert bool(more) == begun
    assert (tmp_path / ("a run-2" if begun else "a run") / "checkpoints" / "final").is_dir()
    if begun:
        start_from = shlex.split(more.partition(" to keep")[0])
        remedy[remedy.index("--out") + 1] = str(tmp_path / "third")
        capsys.readouterr()
        main([*remedy, *start_from])
        assert "a run (not finished: step 6, 2 of 8 epochs): " in capsys.readouterr().err.replace("\n", " ")


def test_a_finished_run_whose_config_was_edited_is_refused(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", "--config", str(config), "--out", str(run)]) == 0
    again = ["train", "--config", str(run / "config.yaml"), "--out", str(run)]
    assert main(again) == 0
    whole = (run / "config.yaml").read_text()
    content: dict[str, Any] = yaml.safe_load(whole)
    for key, words in {"seed": "seed 0", "train": "train.optimizer.lr 0.001"}.items():
        edited = {**content, "seed": 3} if key == "seed" else {**content, "train": {**content["train"]}}
        if key == "train":
            edited["train"]["optimizer"] = {"name": "adam", "lr": 0.5}
        (run / "config.yaml").write_text(yaml.safe_dump(edited))
        assert f"was trained with {words}, but its config says" in error_of(again, capsys)
    content["train"]["log_every"] = 3
    (run / "config.yaml").write_text(yaml.safe_dump(content))
    assert main(again) == 0, "what changes nothing stays free"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "frugalmtl", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300"},
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_second_process_is_told_who_trains(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    command = ["train", "--config", str(config), "--out", str(run)]
    first = start(*command, "--train.epochs", "2000")
    wait_for(run / "checkpoints" / "last", first)
    error = error_of([*command, "--train.epochs", "2000"], capsys)
    assert f"{run} is in use by process {first.pid} on " in error
    first.kill()
    first.communicate()
    assert json.loads((run / HOLDER).read_text())["pid"] == first.pid
    assert "differs in train.epochs" in error_of(command, capsys), "the killed one holds nothing"


@pytest.mark.slow
def test_an_interrupted_sweep_ends_in_one_line(config: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    base = yaml.safe_load(config.read_text())
    del base["name"]
    base["train"].update(epochs=2000, progress="off")
    content = {
        "name": "curve",
        "reference": "single",
        "base": base,
        "rows": {"single": {"encoder": {"name": "single_task"}}},
        "sweep": {"row": {"title": "Rate"}, "key": "train.optimizer.lr", "values": [0.001, 0.002]},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    process = start("sweep", "--config", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "out"), "--workers", "2")
    deadline = time.monotonic() + 600
    while len(list(tmp_path.glob("out/runs/*/checkpoints/last"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    lines = [line for line in errors.splitlines() if not line.endswith("(seed 0)") and "start" not in line]
    assert lines == ["frugalmtl: interrupted; run the same command again to continue"]
    while alive(process.pid):
        assert time.monotonic() < deadline, "a process of the group lives on"
        time.sleep(0.1)


def alive(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
