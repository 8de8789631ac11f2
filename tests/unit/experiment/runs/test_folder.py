"""Folders of runs: begun, continued, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.run import Run

CONFIG = Experiment(data={"name": "rooms", "size": "tiny"}, image_size=(64, 64))


def checkpoint(run: Path) -> None:
    """The folder and the pointer of a checkpoint."""
    (run / "checkpoints" / "step-00000001").mkdir(parents=True)
    (run / "checkpoints" / "last").write_text("step-00000001\n")


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
    checkpoint(tmp_path / "run")
    before = (tmp_path / "run" / "config.yaml").read_text()
    with pytest.raises(UserError, match=message):
        Run.create(tmp_path / "run", changed)
    assert (tmp_path / "run" / "config.yaml").read_text() == before


OTHER = replace(CONFIG, seed=1)


def test_a_folder_without_a_checkpoint_may_begin_anew(tmp_path: Path) -> None:
    Run.create(tmp_path, CONFIG)
    (tmp_path / "log.jsonl").write_text("{}")
    (tmp_path / "checkpoints" / ".step-00000001.ab12.tmp").mkdir(parents=True)
    (tmp_path / ".in-use.lock").touch()
    Run.create(tmp_path, OTHER)
    assert Run.open(tmp_path).config.seed == 1


def test_a_damaged_config_without_a_checkpoint_hinders_nothing(tmp_path: Path) -> None:
    Run.create(tmp_path, CONFIG)
    (tmp_path / "config.yaml").write_text("seed: [")
    Run.create(tmp_path, OTHER)
    assert Run.open(tmp_path).config.seed == 1


@pytest.mark.parametrize("foreign", ["thesis.tex", "scores-test.json", "checkpoints/mine.bin"])
def test_nothing_of_a_foreign_folder_is_erased(foreign: str, tmp_path: Path) -> None:
    Run.create(tmp_path, CONFIG)
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("mine")
    before = (tmp_path / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="differs in seed"):
        Run.create(tmp_path, OTHER)
    Run.create(tmp_path, CONFIG)
    assert (tmp_path / foreign).read_text() == "mine"
    assert (tmp_path / "config.yaml").read_bytes() == before


def test_a_config_that_no_run_wrote_is_kept(tmp_path: Path) -> None:
    """A folder of somebody who keeps a config there and trains beside it."""
    text = "# my notes\nname: experiment\ndata: {name: rooms, size: tiny}\nimage_size: [64, 64]\n"
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="differs in seed"):
        Run.create(tmp_path, OTHER)
    Run.create(tmp_path, CONFIG)
    assert (tmp_path / "config.yaml").read_text() == text
    assert (tmp_path / "environment.json").exists()


def test_checkpoints_without_a_config_are_left_alone(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    with pytest.raises(UserError, match=r"has checkpoints but no config\.yaml: restore that file"):
        Run.check(tmp_path, CONFIG)
