"""Batches that leave batch normalisation one value per channel: one line before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalmtl.cli.main import main
from tests.support.toy_folder import dataset_file, experiment_file, write_folder

MANY_STAGES = {"encoder": {"name": "cross_stitch"}}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a map of one pixel": ({"image_size": [4, 4]}, "raise batch_size to 2 or more, or image_size"),
    "a map of one pixel in two stages": ({"image_size": [4, 4], **MANY_STAGES}, "stage 'single_task': a training step"),
    "a pooled branch": ({"decoder": {"name": "independent", "head": {"name": "aspp"}}}, "raise batch_size"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_one_line_and_the_corrected_command_runs(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, message = CASES[case]
    write_folder(tmp_path, 4, (16, 16), folders=("image", "seg", "depth"))
    dataset_file(tmp_path)
    file = experiment_file(tmp_path, tmp_path / "dataset.yaml", **{"image_size": [16, 16], **keys})
    command = ["train", "--config", str(file), "--out", str(tmp_path / "run"), "--train.epochs", "2"]
    assert main([*command, "--train.batch_size", "1"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()
    assert main([*command, "--train.batch_size", "2"]) == 0


def test_every_row_of_a_comparison_is_tried_before_the_first_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path, 4, (16, 16), folders=("image", "seg", "depth"))
    experiment_file(tmp_path, dataset_file(tmp_path), image_size=[16, 16])
    base = yaml.safe_load((tmp_path / "experiment.yaml").read_text())
    del base["name"]
    base["train"]["batch_size"] = 1
    rows = {"single": {"encoder": {"name": "single_task"}}, "pooled": {"decoder": {"head": {"name": "aspp"}}}}
    file = tmp_path / "compare.yaml"
    file.write_text(yaml.safe_dump({"name": "both", "reference": "single", "base": base, "rows": rows}))
    assert main(["compare", "--config", str(file), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "row 'pooled': " in line
    assert not (tmp_path / "out").exists()
