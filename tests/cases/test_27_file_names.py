"""Names of files with odd bytes and characters: one line for what no list can hold, the others work."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from frugalmtl.cli.main import main
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import dataset_file, experiment_file, write_folder

NAMES = [
    b"caf\xe9 1",
    "Straße 2".encode(),
    "图 3".encode(),
    b"with,comma 4",
    b"br[bold]ack 5",
    b"per%cent {6}",
    b"-dash7",
    b"quote'8\"",
    b"two\nlines",
    b"red\x1b[31m",
]
UNFIT = ("caf\\udce9 1", "two\\nlines", "red\\x1b[31m")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_folder(tmp_path, len(NAMES), folders=("image", "seg", "depth"))
    for folder in ("image", "seg", "depth"):
        for index, name in enumerate(NAMES):
            place = tmp_path / folder
            (place / f"im{index:02d}.png").rename(place / os.fsdecode(name + b".png"))
    return tmp_path


def shares(root: Path) -> Path:
    return dataset_file(root, splits={"train": 0.5, "val": 0.3, "test": 0.2})


def test_check_reports_the_unfit_names_and_reads_the_others(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = shares(root)
    main(["data", "check", str(file)])
    printed = capsys.readouterr().out
    left_out = [line for line in printed.strip().split("\n") if "is left out" in line]
    assert sorted(line.split(".png: ")[0] for line in left_out) == sorted(f"image/{name}" for name in UNFIT)
    assert "\x1b" not in printed
    dataset = Folder(file=str(file))
    ids = {name for split in dataset.splits for name in dataset._members[split].ids}
    assert ids == {name.decode() for name in NAMES[1:8]}


def test_training_works_with_the_others(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = dataset_file(root, splits={"train": 0.7, "val": 0.3})
    config = experiment_file(root, file)
    assert main(["train", "--config", str(config), "--out", str(root / "run")]) == 0
    assert "is left out" in capsys.readouterr().err
    for record in (root / "run").rglob("*.json"):
        json.loads(record.read_text(encoding="utf-8"))


def test_a_list_holds_every_name_that_is_a_text(root: Path) -> None:
    names = [name.decode() for name in NAMES[1:8]]
    (root / "train.txt").write_text("\n".join(names), encoding="utf-8")
    (root / "val.txt").write_text('"with,comma 4"\n', encoding="utf-8")
    dataset = Folder(file=str(dataset_file(root)))
    assert [dataset.split("train").load(index).name for index in range(7)] == names
    assert list(dataset.split("val").ids) == ["with,comma 4"]


def test_a_list_with_an_escape_sequence_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "train.txt").write_text("-dash7\nred\x1b[31m\n")
    assert main(["data", "check", str(dataset_file(root))]) == 2
    (line,) = capsys.readouterr().err.strip().split("\n")
    assert "line 2" in line
    assert "red\\x1b[31m" in line


@pytest.mark.parametrize("split", ["x/../../../../evil", "..", "a\\b", "/x", ""])
def test_a_split_cannot_lead_out_of_its_folder(root: Path, split: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = dataset_file(root, splits={"train": 0.5, split: 0.5})
    assert main(["data", "check", str(file)]) == 2
    assert "cannot name a file or folder" in capsys.readouterr().err
