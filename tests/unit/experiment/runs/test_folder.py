"""Folders of runs: begun, continued, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.run import Run

CONFIG = Experiment(data={"name": "rooms", "size": "tiny"}, image_size=(64, 64))


def test_a_run_is_found_again_however_its_config_is_written(tmp_path: Path) -> None:
    Run.create(tmp_path / "run", CONFIG)
    listed = replace(CONFIG, image_size=[64, 64])  # type: ignore[arg-type]  # as a library user may write it
    assert Run.create(tmp_path / "run", listed).folder == tmp_path / "run"


def test_a_run_that_was_killed_before_its_config_was_written_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text("{}")
    (tmp_path / ".config.yaml.k2j4.tmp").touch()
    Run.check(tmp_path, Experiment())
    (tmp_path / "letter.txt").touch()
    with pytest.raises(UserError, match="holds no run"):
        Run.check(tmp_path, Experiment())


def test_what_does_not_change_what_is_learned_is_taken_over(tmp_path: Path) -> None:
    Run.create(tmp_path / "run", CONFIG)
    changed = replace(CONFIG, test_split="shifted", train=replace(CONFIG.train, workers=2))
    Run.create(tmp_path / "run", changed)
    config = Run.open(tmp_path / "run").config
    assert config.test_split == "shifted"
    assert config.train.workers == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (replace(CONFIG, seed=1), "differs in seed"),
        (replace(CONFIG, train=replace(CONFIG.train, epochs=2)), "differs in train.epochs"),
    ],
)
def test_another_training_is_refused_and_nothing_written(tmp_path: Path, changed: Experiment, message: str) -> None:
    Run.create(tmp_path / "run", CONFIG)
    before = (tmp_path / "run" / "config.yaml").read_text()
    with pytest.raises(UserError, match=message):
        Run.create(tmp_path / "run", changed)
    assert (tmp_path / "run" / "config.yaml").read_text() == before
