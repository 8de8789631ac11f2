"""Case 07, 255 as a class: more than 255 classes, and black and white masks of two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.data.check import check
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.tasks import TASKS
from tests.support.toy_folder import dataset_file, save, scene, write_folder

MANY = [f"c{index}" for index in range(300)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, name in enumerate(write_folder(tmp_path, folders=("image",))):
        classes = scene(index)["seg"]
        save(tmp_path / f"many/{name}.png", np.array([254, 255, 256], np.uint16)[classes])
        save(tmp_path / f"one/{name}.png", np.array([0, 255, 255], np.uint8)[classes])
    return tmp_path


def dataset(root: Path, folder: str, classes: list[str], **keys: Any) -> Folder:
    task = {"kind": "segmentation", "classes": classes, "files": folder + "/{id}.png", **keys}
    return Folder(file=str(dataset_file(root, {"seg": task})))


def test_an_ignore_value_that_is_a_class_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"'ignore' is 255, which is also class 'c255' of 300.*ignore: 65535"):
        dataset(root, "many", MANY)
    with pytest.raises(UserError, match=r"'ignore' is 255"):
        TASKS.build({"name": "classification", "classes": MANY, "exclusive": True})
    data = dataset(root, "many", MANY, ignore=65535)
    assert check(data, progress=False) == []
    label = data.split("train").load(0).labels["seg"]
    assert torch.equal(label, torch.from_numpy(scene(0)["seg"]).long() + 254)


def test_an_ignore_value_that_is_stored_for_a_class_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"255 is the stored value of class 'c55' and the task's 'ignore'"):
        dataset(root, "one", MANY[:60], encoding={"name": "index", "first": 200})


def test_a_black_and_white_mask_of_two_classes_is_refused_with_both_meanings(root: Path) -> None:
    data = dataset(root, "one", ["background", "object"])
    problems = check(data, progress=False)
    assert len(problems) == 8
    assert "holds 255 but no 1, for two classes" in problems[0].what
    for way in ("map: {0: 0, 255: 1}", "invalid: 255"):
        assert way in problems[0].remedy
    with pytest.raises(UserError, match="holds 255 but no 1"):
        data.split("train").load(0)


@pytest.mark.parametrize(
    ("keys", "white"),
    [
        ({"encoding": {"name": "index", "map": {0: "background", 255: "object"}}}, 1),
        ({"encoding": {"name": "index", "invalid": 255}}, 255),
        ({"ignore": 255}, 255),
    ],
)
def test_either_meaning_can_be_stated(root: Path, keys: dict[str, Any], white: int) -> None:
    data = dataset(root, "one", ["background", "object"], **keys)
    assert check(data, progress=False) == []
    label = data.split("train").load(0).labels["seg"]
    assert torch.equal(label, torch.from_numpy(scene(0)["sal"]).long() * white)
