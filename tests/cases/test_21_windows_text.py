"""Texts as a spreadsheet and an editor of Windows save them: marks, UTF-16, semicolons, line ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.cli.main import main
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import TASKS, dataset_file, write_folder

ATTRIBUTES = {"kind": "classification", "classes": ["wet", "dry"], "table": "att.csv"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    ids = write_folder(tmp_path, folders=("image", "seg"))
    (tmp_path / "train.txt").write_bytes(("\ufeff" + "\r\n".join(ids[:6]) + "\r\n").encode())
    (tmp_path / "val.txt").write_bytes("\r\n".join(ids[6:]).encode("utf-16"))
    rows = "".join(f"{name};1;0\r\n" for name in ids)
    (tmp_path / "att.csv").write_bytes(("\ufeffid;wet;dry\r\n" + rows).encode())
    declaration = dataset_file(tmp_path, {"seg": TASKS["seg"], "att": ATTRIBUTES})
    text = declaration.read_text()
    declaration.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    return declaration


def test_all_of_them_are_read(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(file)]) == 0, capsys.readouterr()
    dataset = Folder(file=str(file))
    assert list(dataset.split("train").ids) == [f"im{index:02d}" for index in range(6)]
    assert list(dataset.split("val").ids) == ["im06", "im07"]
    assert dataset.split("val").load(1).labels["att"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", ["train.txt", "att.csv"])
def test_an_old_code_page_is_one_line_with_the_remedy(
    file: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (file.parent / name).write_bytes("id,wet,dry\r\ncafé,1,0\r\n".encode("cp1252"))
    assert main(["data", "check", str(file)]) == 2
    (line,) = capsys.readouterr().err.strip().split("\n")
    assert f"{name} is not UTF-8: line 2 holds the byte 0xe9; save it as UTF-8" in line
