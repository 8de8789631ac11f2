"""Lines that ``data check`` and ``data prepare`` print."""

from __future__ import annotations

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


def test_many_files_with_one_problem_are_three_lines_and_their_number(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(file)]) == 2
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
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
    assert [line.count("sal/im") for line in captured.out.splitlines()] == 16 * [1]
    assert "16 problems in" in captured.err


def test_a_file_gets_all_of_them(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "problems.txt"
    with target.open("w") as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        assert main(["data", "check", str(file)]) == 2
    assert len(target.read_text().splitlines()) == 16


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
