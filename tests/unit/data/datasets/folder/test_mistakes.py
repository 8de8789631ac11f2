"""Mistakes in a dataset file: the file and the task are named, and the user's own words are quoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import TASKS, dataset_file, write_folder

DEPTH = TASKS["depth"]
FLAGS = {"kind": "classification", "classes": ["wet"], "table": "flags.csv"}


def refusal(root: Path, **keys: Any) -> str:
    """The message about a dataset file, which names the file once."""
    file = dataset_file(root, **keys)
    with pytest.raises(UserError) as caught:
        Folder(file=str(file))
    message = str(caught.value)
    assert message.startswith(f"dataset file {file}: ")
    assert message.count(file.name) == 1
    return message


def without(section: dict[str, Any], key: str, **keys: Any) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name != key} | keys


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_folder(tmp_path, count=2, folders=("image", "depth"))
    return tmp_path


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("file", "files"),
        ("flies", "files"),
        ("encodng", "encoding"),
        ("tabel", "table"),
        ("knd", "kind"),
        ("fra", "far"),
    ],
)
def test_a_misspelt_key_of_a_task_is_answered_with_the_right_one(root: Path, wrong: str, right: str) -> None:
    message = refusal(root, tasks={"d": without(DEPTH, right, **{wrong: "depth"})})
    assert f"unknown key of task 'd': {wrong!r}" in message
    assert f"Did you mean {right!r}?" in message
    listed = message.partition("expected one of ")[2].partition(". Did")[0].split(", ")
    assert {"kind", "files", "encoding", "table", "far"} <= set(listed)
    assert "name" not in listed


def test_a_misspelt_kind_names_its_task_and_key(root: Path) -> None:
    message = refusal(root, tasks={"d": {**DEPTH, "kind": "deph"}})
    assert "unknown 'kind' of task 'd': 'deph'" in message
    assert "Did you mean 'depth'?" in message


NOT_TEXTS: dict[str, dict[str, Any]] = {
    "files of task 'd'": {"tasks": {"d": {**DEPTH, "files": None}}},
    "table of 'f'": {"tasks": {"f": {**FLAGS, "table": None}}},
    "images": {"images": None},
    "split 'train'": {"splits": {"train": None}},
    "unknown exif": {"exif": None},
}


@pytest.mark.parametrize("words", NOT_TEXTS)
def test_null_is_called_null(root: Path, words: str) -> None:
    message = refusal(root, **NOT_TEXTS[words])
    assert words in message
    assert "null" in message
    assert "None" not in message


def test_values_of_other_types_are_no_paths(root: Path) -> None:
    assert "images must be a path (a text), but got true" in refusal(root, images=True)
    assert "images must be a path (a text), but got ['a.png']" in refusal(root, images=["a.png"])
    file = dataset_file(root)
    file.write_text(file.read_text().replace("root: .", "root:"))
    with pytest.raises(UserError, match=r"root must be a path \(a text\), but got null"):
        Folder(file=str(file))


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": 80, "val": 20}, "add up to 1, but they add up to 100: write 0.8 and 0.2"),
        ({"a": 60, "b": 20, "c": 20}, "they add up to 100: write 0.6, 0.2 and 0.2"),
        ({"train": 5}, "they add up to 5: write 1"),
        ({"a": 1, "b": 1, "c": 1}, "they add up to 3"),
        ({"a": 0, "b": 0}, "they add up to 0"),
        ({"a": 2, "b": -1}, "the share of split 'b' must be 0 or more, but got -1"),
        ({"a": float("nan"), "b": 1.0}, "the share of split 'a' must be 0 or more, but got nan"),
        ({"a": float("inf"), "b": 1.0}, "the share of split 'a' must be finite"),
        ({"a": "train.txt", "b": [1]}, "split 'b' must be a list of ids (the name of a file) or a share"),
    ],
)
def test_shares_that_do_not_add_up_are_answered_with_those_that_do(
    root: Path, splits: dict[str, Any], words: str
) -> None:
    message = refusal(root, splits=splits)
    assert words in message
    assert "{" not in message


@pytest.mark.parametrize(
    "keys",
    [
        {"splits": {"../x": 1.0}},
        {"images": "image.png"},
        {"tasks": {"d": {**DEPTH, "encoding": "colours"}}},
        {"tasks": {"s": {**TASKS["seg"], "classes": ["a", "a"]}}},
        {"tasks": {"f": FLAGS}},
        {"imgs": "image/{id}.png"},
    ],
)
def test_every_mistake_names_the_file(root: Path, keys: dict[str, Any]) -> None:
    assert refusal(root, **keys)


def test_an_empty_split_names_the_file(root: Path) -> None:
    dataset = Folder(file=str(dataset_file(root, images="none/{id}.png", splits={"train": 1})))
    with pytest.raises(UserError, match=r"dataset file .*dataset[.]yaml: split 'train' is empty: no file under"):
        dataset.split("train")
