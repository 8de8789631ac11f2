"""Symbolic links in run folders and datasets: what we write never lands behind one, what we read stays in its root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.cli.main import main
from frugalmtl.core.disk.locks import Locks
from frugalmtl.core.files import write_text
from frugalmtl.data.datasets.folder import Folder
from tests.integration.conftest import write_config
from tests.support.toy_folder import dataset_file, write_folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user's that a link leads to."""
    file = tmp_path / "victim"
    file.write_text("precious", encoding="utf-8")
    return file


def test_files_are_written_over_a_link_and_not_through_it(victim: Path, tmp_path: Path) -> None:
    link = tmp_path / "scores.json"
    link.symlink_to(victim)
    write_text(link, "new")
    assert victim.read_text(encoding="utf-8") == "precious"
    assert link.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("name", ["log.jsonl", "environment.json", "network.json", "report.lock"])
def test_a_training_in_a_folder_of_links(name: str, victim: Path, tmp_path: Path, experiment: Any, capsys: Any) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / name).symlink_to(victim)
    config = write_config(tmp_path / "config.yaml", experiment)
    main(["train", "--config", str(config), "--out", str(folder)])
    assert victim.read_text(encoding="utf-8") == "precious"


def test_locks_do_not_empty_what_a_link_leads_to(victim: Path, tmp_path: Path) -> None:
    (tmp_path / "report.lock").symlink_to(victim)
    try:
        with Locks(tmp_path).lock("report"):
            pass
    except (OSError, ValueError):
        pass
    assert victim.read_text(encoding="utf-8") == "precious"


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
@pytest.mark.parametrize("what", ["image", "seg", "train.txt"])
def test_datasets_read_nothing_outside_their_root(what: str, tmp_path: Path, capsys: Any) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    write_folder(root, 4, folders=("image", "seg"))
    file = dataset_file(root, ("seg",))
    outside.mkdir()
    (root / what).rename(outside / what)
    (root / what).symlink_to(outside / what)
    assert main(["data", "check", str(file)]) == 2
    printed = capsys.readouterr()
    assert "root" in printed.out + printed.err


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/etc/passwd", "..", "a\x00b"])
def test_ids_do_not_lead_outside(name: str, tmp_path: Path, capsys: Any) -> None:
    write_folder(tmp_path / "data", 4, folders=("image", "seg"))
    file = dataset_file(tmp_path / "data", ("seg",))
    (tmp_path / "data" / "train.txt").write_text(f"im00\n{name}\n", encoding="utf-8")
    assert main(["data", "check", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"images": "../{id}.png"},
        {"images": "/{id}.png"},
        {"splits": {"train": "../train.txt"}},
        {"splits": {"../x": 1.0}},
        {"tasks": {"../x": {"kind": "depth", "files": "seg/{id}.png"}}},
        {"tasks": {"seg": {"kind": "depth", "files": "../{id}.png"}}},
        {"tasks": {"a": {"kind": "classification", "classes": ["x"], "table": "../t.csv"}}},
    ],
    ids=str,
)
def test_declarations_do_not_lead_outside(change: Any, tmp_path: Path) -> None:
    write_folder(tmp_path / "data", 2, folders=("image", "seg"))
    file = dataset_file(tmp_path / "data", **{"tasks": ("seg",), **change})
    with pytest.raises(ValueError, match=r"root|name"):
        Folder(file=str(file))
