"""Atomic files: a whole file or none."""

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
