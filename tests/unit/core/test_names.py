"""Names that become parts of paths: they lead nowhere else and can be written on every system."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.names import LONGEST, path_part, task_name

FITTING = ("train", "val 2", "a-b_c.d", "tiny", "ResNet-18 (0.5x)", "größe", "深度", "x" * LONGEST, "é" * 90, "console")
UNFIT = {
    "": "is empty",
    "x/../../evil": "slash",
    "a\\b": "slash",
    "/etc": "slash",
    ".": "begins with a dot",
    "..": "begins with a dot",
    ".hidden": "begins with a dot",
    "-rf": "dash",
    " a": "blank",
    "a ": "ends with",
    "a.": "ends with",
    "a\0b": "not printed",
    "a\nb": "not printed",
    "\x1b[31m": "not printed",
    "a\u202eb": "not printed",
    "a\u200b": "not printed",
    "\ud800": "not printed",
    "NUL": "device",
    "con.txt": "device",
    "lpt1": "device",
    "x" * (LONGEST + 1): "101 characters",
    "深" * 70: "70 characters",
}


@pytest.mark.parametrize("name", FITTING)
def test_fitting_names_come_back(name: str, tmp_path: Path) -> None:
    assert path_part("split", name) == name
    (tmp_path / f".scores-{name}-training_model.json.abcdefgh.tmp").touch()


@pytest.mark.parametrize("name", UNFIT)
def test_others_are_refused_in_one_short_line(name: str) -> None:
    with pytest.raises(UserError, match=f"^split '.*' cannot name a file or folder: it .*{UNFIT[name]}") as refusal:
        path_part("split", name)
    assert len(str(refusal.value)) < 250
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("name", ["depth", "depth_2", "Segmentation-40", "größe"])
def test_names_of_tasks(name: str) -> None:
    assert task_name(name) == name


@pytest.mark.parametrize("name", ["", "a.b", "a b", "../x", "keys", "training", "forward", "_x", "con", "x" * 101])
def test_names_that_no_task_can_have(name: str) -> None:
    with pytest.raises(UserError):
        task_name(name)
