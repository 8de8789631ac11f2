"""Sources of photographs: files, folders, patterns and lists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.data.photographs import photographs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "notes.txt", "more/c.jpg", "[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_folder_stands_for_its_images(folder: Path) -> None:
    assert photographs([folder]) == [str(folder / name) for name in ("[1].png", "a.png", "b.JPG")]
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no image \(.jpg"):
        photographs([folder / "empty"])


def test_patterns(folder: Path) -> None:
    assert photographs([str(folder / "*.png")]) == [str(folder / "[1].png"), str(folder / "a.png")]
    assert photographs([str(folder / "**" / "*.jpg")]) == [str(folder / "more" / "c.jpg")]
    assert photographs([str(folder / "[1].png")]) == [str(folder / "[1].png")]  # a file of that name goes first
    with pytest.raises(UserError, match="no photograph matches"):
        photographs([str(folder / "*.tif")])


def test_lists(folder: Path) -> None:
    lines = [f"{folder / 'a.png'}\n", "\n", "skimage:coffee\r\n", f"{folder / 'more'}"]
    expected = [str(folder / "a.png"), "skimage:coffee", str(folder / "more" / "c.jpg")]
    assert photographs(["-"], lines) == expected
    assert photographs(["skimage:chelsea", "-"], lines) == ["skimage:chelsea", *expected]
    with pytest.raises(UserError, match="names no photograph"):
        photographs(["-"], ["\n"])
    with pytest.raises(UserError, match=r"absent\.png does not exist"):
        photographs(["-"], [f"absent.png{os.linesep}"])
