"""Lines that ``data check`` and ``data prepare`` print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from frugalmtl.cli.main import main
from frugalmtl.data import check
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import dataset_file, write_folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A dataset whose masks are all of 0 and 1, twelve in one split and four in the other."""
    for name in write_folder(tmp_path, count=16, folders=("image", "depth")):
        (tmp_path / "sal").mkdir(exist_ok=True)
        Image.new("L", (32, 32), 1).save(tmp_path / f"sal/{name}.png")
    return dataset_file(tmp_path, ["depth", "sal"])


def problem_lines(text: str) -> list[str]:
    """The lines of problems, below the table of counts."""
    return [line for line in text.splitlines() if "; expected " in line or line.startswith("... and ")]


def test_many_files_with_one_problem_are_three_lines_and_their_number(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(file)]) == 2
    captured = capsys.readouterr()
    lines = problem_lines(captured.out)
    assert [line for line in lines if line.startswith("...")] == [
        "... and 9 more files of task 'sal' with the same problem",
        "... and 1 more file of task 'sal' with the same problem",
    ]
    assert len(lines) == 8
    assert "16 problems in" in captured.err
    assert len(check(Folder(file=str(file)), progress=False)) == 16


def test_all_of_them_are_printed_on_demand(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(file), "--all"]) == 2
    captured = capsys.readouterr()
    assert [line.count("sal/im") for line in problem_lines(captured.out)] == 16 * [1]
    assert "16 problems in" in captured.err


def test_a_file_gets_all_of_them(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "problems.txt"
    with target.open("w") as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        assert main(["data", "check", str(file)]) == 2
    assert len(problem_lines(target.read_text())) == 16


def test_what_every_split_holds_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path, count=8, folders=("image", "seg", "depth"))
    (tmp_path / "depth/im00.png").unlink()
    assert main(["data", "check", str(dataset_file(tmp_path))]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "6", "32", "x", "32"] in lines
    assert ["depth", "6", "5", "100", "%", "min", "1.5,", "median", "4,", "max", "4", "metres"] in lines
    (classes,) = [line for line in lines if line[:3] == ["seg", "6", "6"]]
    assert classes[5::3] == ["back", "box", "lid"]


def test_counts_problems_and_notes_are_json_on_demand(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "depth/im00.png").unlink()
    assert main(["data", "check", str(file), "--json", "--split", "train"]) == 2
    content = json.loads(capsys.readouterr().out)
    assert content.keys() == {"splits", "problems", "notes"}
    assert len(content["problems"]) == 12
    assert content["problems"][0].keys() == {"file", "what", "expected", "remedy", "task", "split"}
    tasks = content["splits"]["train"]["tasks"]
    assert tasks["depth"]["labels"] == 11
    assert tasks["sal"] == {"labels": 0, "labelled": None, "shares": {"yes": None}, "labels_with": {"yes": 0}}


def test_strict_makes_errors_of_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path, count=8, folders=("image", "seg"))
    file = dataset_file(tmp_path, ["seg"])
    (tmp_path / "seg/im00.png").unlink()
    assert main(["data", "check", str(file)]) == 0
    assert "note: 1 of 6 images of split 'train' have no label of any task (im00)\n" in capsys.readouterr().out
    assert main(["data", "check", str(file), "--strict"]) == 2
    assert "1 problem in" in capsys.readouterr().err


def test_problems_name_their_task_and_split(file: Path) -> None:
    (file.parent / "image/im13.png").unlink()
    (file.parent / "depth/im14.png").write_bytes(b"")
    problems = check(Folder(file=str(file)), ["val"], progress=False)
    assert {(problem.task, problem.split) for problem in problems} == {("sal", "val"), ("depth", "val"), ("", "val")}


def test_what_was_prepared_is_said(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rooms = {
        "name": "rooms",
        "size": "tiny",
        "train": 1,
        "val": 1,
        "test": 1,
        "shifted": 1,
        "cache": str(tmp_path / "cache"),
    }
    config = tmp_path / "rooms.yaml"
    config.write_text(yaml.safe_dump({"data": rooms}))
    for place, words in [
        (config, "val: prepared (1 file written)"),
        (config, "val: nothing had to be prepared"),
        (file, "val: nothing had to be prepared"),
    ]:
        assert main(["data", "prepare", str(place), "--split", "val"]) == 0
        assert words in capsys.readouterr().out
