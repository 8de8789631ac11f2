"""A pattern, a file's ending and a table's ids that name no label: refused by check and training, with the nearest."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.cli.main import main
from tests.support.toy_folder import TASKS, dataset_file, experiment_file, write_folder

TYPOS = {
    "seg": TASKS["seg"],
    "depth": {**TASKS["depth"], "files": "depths/{id}.png"},
    "normals": {**TASKS["normals"], "files": "normals/{id}_n.png"},
    "att": {"kind": "classification", "classes": ["wet", "dry"], "table": "att.csv"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    ids = write_folder(tmp_path)
    (tmp_path / "att.csv").write_text("id,wet,dry\n" + "".join(f"{name}.png,1,0\n" for name in ids))
    return tmp_path


def test_check_names_every_task_and_split_with_the_nearest(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(dataset_file(root, TYPOS))]) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.out.split("\n") if "; expected " in line]
    assert len(lines) == 6
    for split, count, first in (("train", 6, "im00"), ("val", 2, "im06")):
        about = [line for line in lines if f"0 of {count} images of split '{split}' have a label of task" in line]
        depth, normals, table = about
        assert depth.startswith("depths/{id}.png: ")
        assert "task 'depth'" in depth
        assert "the nearest folder is depth/" in depth
        assert normals.startswith("normals/{id}_n.png: ")
        assert f"the nearest file is normals/{first}.png" in normals
        assert table.startswith(str(root / "att.csv"))
        assert f"its ids carry an ending ('{first}.png' for '{first}')" in table
    assert "6 problems" in printed.err


@pytest.mark.parametrize("task", ["depth", "normals", "att"])
def test_training_refuses_it_before_anything_is_written(
    root: Path, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = dataset_file(root, {"seg": TYPOS["seg"], task: TYPOS[task]})
    assert main(["train", "--config", str(experiment_file(root, file)), "--out", str(root / "run")]) == 2
    error = capsys.readouterr().err
    assert "split 'train' cannot be used: " in error
    assert f"0 of 6 images of split 'train' have a label of task '{task}'" in error
    assert not (root / "run").exists()


def test_the_split_that_is_scored_is_judged_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("im06", "im07"):
        (root / f"depth/{name}.png").unlink()
    config = experiment_file(root, dataset_file(root))
    assert main(["train", "--config", str(config), "--out", str(root / "run")]) == 2
    assert "0 of 2 images of split 'val' have a label of task 'depth'" in capsys.readouterr().err
    assert not (root / "run").exists()


def test_a_task_that_only_helps_may_lack_labels_where_scores_are_made(root: Path) -> None:
    for name in ("im06", "im07"):
        (root / f"depth/{name}.png").unlink()
    tasks = ["seg", {"name": "depth", "auxiliary": True}]
    decoder = {"name": "pad_net"}
    config = experiment_file(root, dataset_file(root), tasks=tasks, decoder=decoder)
    assert main(["train", "--config", str(config), "--out", str(root / "run")]) == 0


def test_a_task_that_only_helps_needs_labels_to_learn_from(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = ["seg", {"name": "depth", "auxiliary": True}]
    file = dataset_file(root, {"seg": TYPOS["seg"], "depth": TYPOS["depth"]})
    config = experiment_file(root, file, tasks=tasks, decoder={"name": "pad_net"})
    assert main(["train", "--config", str(config), "--out", str(root / "run")]) == 2
    assert "0 of 6 images of split 'train' have a label of task 'depth'" in capsys.readouterr().err
    assert not (root / "run").exists()
