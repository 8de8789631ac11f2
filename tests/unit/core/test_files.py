"""Files: written whole or not at all, read as text whichever editor saved them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import atomic_write, read_text, write_text


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    write_text(target, "old")

    def write_half() -> None:
        with atomic_write(target) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_line_and_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    write_text(target, "old")
    with pytest.raises(UserError, match="No space left") as caught, atomic_write(target):
        raise OSError(28, "No space left on device")
    assert "\n" not in str(caught.value)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "note.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == 0o640


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_text(tmp_path / "none.yaml", "config")


TEXT = "id,wet\r\nStraße,1\r\n\r\n图,0"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_text_is_the_same_whichever_editor_saved_it(tmp_path: Path, encoding: str, ends: str) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(TEXT.replace("\r\n", ends).encode(encoding))
    assert read_text(file, "table") == TEXT.replace("\r\n", "\n")


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_a_mark_says_how_the_bytes_of_utf16_lie(tmp_path: Path, mark: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(mark + "im00\nim01".encode("utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"))
    assert read_text(file, "list") == "im00\nim01"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"one\r\ncaf\xe9\n", "line 2 holds the byte 0xe9; save it as UTF-8"),
        (b"\xff\xfei\0m\x000", "not whole: save it as UTF-8"),
        (b"one\ntw\0\0\0\0o", "zero bytes"),
    ],
    ids=["latin-1", "cut UTF-16", "zero bytes"],
)
def test_bytes_that_are_no_text_are_one_line_with_the_remedy(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_text(file, "list of split 'train'")
    assert str(caught.value).startswith(f"list of split 'train' {file}")
    assert "\n" not in str(caught.value)


def test_an_empty_text_is_empty(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf")
    assert read_text(tmp_path / "list.txt", "list") == ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a PNG image, not a text file"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "is a JPEG image, not a text file"),
        (b"II*\0\x08\0\0\0", "is a TIFF image"),
        (b"PK\3\4plain words", "is a zip archive .*[.]xlsx.*, not a text file"),
        (b"\x93NUMPY\1\0v\0", "is a NumPy array"),
        (b"\x1f\x8b\x08\0", "is a gzip archive"),
        (b"BM\xf6\0\0\0words", r"is not a text file \(it holds zero bytes\)"),
    ],
)
def test_a_file_that_is_no_text_is_told_so(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_text(file, "table")
    assert "save it as UTF-8" not in str(caught.value)
    assert "check that the right file is named" in str(caught.value)
