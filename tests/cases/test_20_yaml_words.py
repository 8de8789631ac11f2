"""Names of classes and tasks that YAML changes, counts them, or that stand there twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frugalmtl.cli.main import main
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import dataset_file, write_folder

SEGMENTATION = 'kind: segmentation, files: "seg/{id}.png"'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_folder(tmp_path, folders=("image", "seg"))
    (tmp_path / "att.csv").write_text("id,no,yes\n" + "".join(f"im{i:02d},0,1\n" for i in range(8)), encoding="utf-8")
    return tmp_path


def declare(root: Path, task: str) -> Path:
    """The dataset file with one task as it is written."""
    file = dataset_file(root, {})
    file.write_text(file.read_text(encoding="utf-8").replace("tasks: {}", f"tasks:\n  {task}"), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ("3", ("class 0", "class 1", "class 2")),
        ("{0: a, 1: b, 2: c}", ("a", "b", "c")),
        ("['no', 'yes', \"maybe\"]", ("no", "yes", "maybe")),
        ("['0', '1', '2']", ("0", "1", "2")),
        ("[2020-01-01, 12:30, 1e5]", ("2020-01-01", "12:30", "1e5")),
    ],
)
def test_what_is_meant_is_taken(classes: str, names: tuple[str, ...], root: Path, capsys: Any) -> None:
    file = declare(root, f"seg: {{{SEGMENTATION}, classes: {classes}}}")
    assert Folder(file=str(file)).tasks[0].classes == names
    assert main(["data", "check", str(file)]) == 0


REFUSED = {
    f"seg: {{{SEGMENTATION}, classes: [no, yes, maybe]}}": (
        "tasks.seg.classes: YAML reads no as false and yes as true: quote names ('no' and 'yes')"
    ),
    "att: {kind: classification, classes: [no, yes], table: att.csv}": (
        "tasks.att.classes: YAML reads no as false and yes as true: quote names ('no' and 'yes')"
    ),
    f"seg: {{{SEGMENTATION}, classes: [true, false, x]}}": "task 'seg': classes[0] must be a text, but got true",
    f"seg: {{{SEGMENTATION}, classes: [0, 1, 2]}}": (
        "task 'seg': classes must be texts, but got [0, 1, 2]: quote them (['0', '1', '2']), or write 3"
    ),
    f'seg: {{{SEGMENTATION}, classes: "a, b, c"}}': (
        "task 'seg': classes must be a list of names, but got 'a, b, c': write [a, b, c]"
    ),
    f"seg: {{{SEGMENTATION}, classes: [a, b, b]}}": "task 'seg': classes holds 'b' more than once",
    f"seg: {{{SEGMENTATION}, classes: [a, null, c]}}": "task 'seg': classes[1] must be a text, but got null",
    f"seg: {{{SEGMENTATION}, classes: {{1: a, 2: b}}}}": "task 'seg': classes must number its names from 0",
    f"seg: {{{SEGMENTATION}, classes: 0}}": "task 'seg': classes must be names, or a number of classes",
    f"seg: {{{SEGMENTATION}, classes: 1000000000}}": "a number of classes up to 65536, but got 1000000000",
    f"seg: {{{SEGMENTATION}, classes: 2.5}}": "a number of classes up to 65536, but got 2.5",
    f"seg: {{{SEGMENTATION}, classes: off}}": "task 'seg': classes must be a list, but got false",
    f"seg: {{{SEGMENTATION}, classes: null}}": "task 'seg': classes must be a list, but got null",
    f"seg: {{{SEGMENTATION}, classes: [a]}}": "task 'seg' needs at least two classes",
    f"seg: {{{SEGMENTATION}, classes: [a, b], clases: 3}}": "key of task 'seg': 'clases'",
    f"seg: {{{SEGMENTATION}}}": "task 'seg' needs classes",
    f"seg: {{{SEGMENTATION}, classes: 3, classes: 4}}": "the key 'classes' of 'tasks.seg' stands here and in line",
    f"on: {{{SEGMENTATION}, classes: 3}}": "YAML reads the key 'on' of 'tasks' as true: quote it ('on')",
    f"null: {{{SEGMENTATION}, classes: 3}}": "YAML reads the key 'null' of 'tasks' as nothing: quote it ('null')",
    f"3: {{{SEGMENTATION}, classes: 3}}\n  '3': {{{SEGMENTATION}, classes: 3}}": "'3' more than once",
    "seg: [a]": "task 'seg' must be a mapping of keys to values, but",
    "seg: null": "task 'seg' must be a mapping of keys to values, but",
    "seg: {classes: 3}": "task 'seg' lacks 'kind', one of",
    "seg: {kind: 3, classes: 3}": "task 'seg' lacks 'kind', one of",
    "seg: {kind: segmentatoin, classes: 3}": "Did you mean 'segmentation'",
}


@pytest.mark.parametrize(("task", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_the_rest_is_refused_by_task_and_key(task: str, message: str, root: Path, capsys: Any) -> None:
    assert main(["data", "check", str(declare(root, task))]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
