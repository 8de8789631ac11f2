"""Case 06, class maps in ids and in colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.data.check import check
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import dataset_file, save, scene, write_folder

IDS = np.array([7, 11, 26], np.uint8)
COLOURS = np.array([[128, 64, 128], [70, 70, 70], [0, 0, 142]], np.uint8)
CLASSES = ["road", "building", "car"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, name in enumerate(write_folder(tmp_path, folders=("image",))):
        classes = scene(index)["seg"]
        save(tmp_path / f"ids/{name}.png", IDS[classes])
        save(tmp_path / f"rgb/{name}.png", COLOURS[classes])
    return tmp_path


def dataset(root: Path, folder: str, encoding: Any) -> Folder:
    task = {"kind": "segmentation", "classes": CLASSES, "files": folder + "/{id}.png", "encoding": encoding}
    return Folder(file=str(dataset_file(root, {"seg": task})))


@pytest.mark.parametrize(
    ("folder", "name", "table"),
    [
        ("ids", "index", {7: "road", 11: "building", 26: "car"}),
        ("ids", "index", {7: 0, 11: 1, 26: "car"}),
        ("rgb", "colours", {"#804080": "road", "[70, 70, 70]": "building", "0 0 142": "car"}),
        ("rgb", "colours", {"#804080": 0, "#464646": 1, "#00008E": 2}),
    ],
)
def test_ids_and_colours_are_mapped_to_classes(root: Path, folder: str, name: str, table: Any) -> None:
    data = dataset(root, folder, {"name": name, "map": table})
    assert check(data, progress=False) == []
    for index in range(6):
        label = data.split("train").load(index).labels["seg"]
        assert torch.equal(label, torch.from_numpy(scene(index)["seg"]).long())


@pytest.mark.parametrize(
    ("folder", "encoding", "words"),
    [
        ("ids", {"name": "index", "map": {7: "road", 11: "building"}}, "holds class 26 ({} % of pixels)"),
        ("ids", "index", "holds class 7 "),
        ("rgb", {"name": "colours", "map": {"#804080": 0, "#464646": 1}}, "holds colour #00008e ({} % of pixels)"),
    ],
)
def test_what_is_not_listed_is_named_with_its_share(root: Path, folder: str, encoding: Any, words: str) -> None:
    share = f"{100 * (scene(0)['seg'] == 2).mean():.2g}"
    data = dataset(root, folder, encoding)
    problems = check(data, progress=False)
    assert len(problems) == 8
    assert words.format(share) in problems[0].what
    with pytest.raises(UserError, match="'map'"):
        data.split("train").load(0)


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ({"name": "index", "map": {7: "street"}}, "'street', which is no class: expected one of road, building, car"),
        ({"name": "index", "map": {7: 3}}, "names 3"),
        ({"name": "index", "map": {7: "road"}, "first": 1}, "not both"),
        ({"name": "index", "map": {7: "road"}, "invalid": [7]}, "both as a class and as no label"),
        ({"name": "colours", "map": {"rouge": "road"}}, "'rouge' is no colour"),
        ({"name": "colours", "map": {"#804080": 0, "128 64 128": 1}}, "listed twice"),
        ({"name": "colours", "map": {"#804080": 0}, "invalid": "#804080"}, "listed twice"),
        ({"name": "colours", "map": {}}, "empty"),
    ],
)
def test_a_map_that_cannot_be_is_refused_before_any_file_is_read(root: Path, encoding: Any, words: str) -> None:
    with pytest.raises(UserError, match="encoding of task 'seg'") as caught:
        dataset(root, "none", encoding)
    assert words in str(caught.value)
