"""Class weights and depths that are counted from the training labels, from the dataset file to the scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from frugalmtl.cli.main import main
from frugalmtl.data.datasets.folder.split import FolderSplit
from frugalmtl.experiment.runs.run import Run
from tests.support.toy_folder import TASKS, dataset_file, experiment_file, write_folder

DEPTH = {**TASKS["depth"], "range": [0.5, 20], "output": "log"}
SEG = {**TASKS["seg"], "class_weights": "balanced"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_folder(tmp_path)
    return experiment_file(tmp_path, dataset_file(tmp_path, {"seg": SEG, "depth": DEPTH}))


def test_a_run_keeps_the_values_and_continues_with_them(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    arguments = ["--config", str(config), "--out", str(folder)]
    assert main(["train", *arguments]) == 0
    seg, depth = Run.open(folder).network().tasks
    assert len(seg.loss.args["weights"]) == 3
    assert seg.from_labels == depth.from_labels == {}
    assert depth.section["start"] == pytest.approx(4.0, rel=0.01)
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--split", "val"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("    iou of each class: back 0.") for line in lines)
    classes = json.loads((folder / "classes-val.json").read_text())
    assert classes.keys() == {"seg"}
    assert classes["seg"]["classes"] == ["back", "box", "lid"]
    assert sum(map(sum, classes["seg"]["counts"])) == 2 * 32 * 32

    def counted_again(*_: object) -> None:
        raise AssertionError("labels are counted once")

    monkeypatch.setattr(FolderSplit, "label", counted_again)
    assert main(["train", *arguments]) == 0, "finished: returned as it is"


def test_predictions_begin_at_the_median(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rate = ["--train.optimizer.lr", "1e-12", "--train.epochs", "1"]
    assert main(["train", "--config", str(config), "--out", str(folder), *rate]) == 0
    built = Run.open(folder).load()
    bias = built.model.decoder.last_layers("depth")[0][0].bias
    assert torch.exp(bias).item() == pytest.approx(4.0, rel=0.02)


def test_labels_that_cannot_be_counted_are_named_before_anything_is_written(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (tmp_path / "depth").glob("*"):
        file.unlink()
    assert main(["train", "--config", str(config), "--out", str(tmp_path / "run")]) == 2
    assert "0 of 6 images of split 'train' have a label of task 'depth'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
