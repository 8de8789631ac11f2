"""Case 05, normals with a border painted black."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.data.check import check
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import dataset_file, save, scene, write_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in write_folder(tmp_path, folders=("image", "normals")):
        file = tmp_path / f"normals/{name}.png"
        colours = np.array(Image.open(file))
        colours[:6] = 0
        save(file, colours)
    return tmp_path


def dataset(root: Path, encoding: Any) -> Folder:
    task = {"kind": "normals", "files": "normals/{id}.png", "encoding": encoding}
    return Folder(file=str(dataset_file(root, {"normals": task})))


@pytest.mark.parametrize("invalid", [[0, 0, 0], 0, "#000000", [[0, 0, 0], "#ffffff"]])
def test_a_colour_without_a_direction_is_stated(root: Path, invalid: Any) -> None:
    data = dataset(root, {"name": "vectors", "invalid": invalid})
    assert check(data, progress=False) == []
    label = data.split("train").load(1).labels["normals"]
    (task,) = data.tasks
    assert not task.valid(label)[:6].any()
    assert task.valid(label)[6:].all()
    right = scene(1)["normals"].transpose(2, 0, 1)[:, 6:]
    assert np.abs(label[:, 6:].numpy() - right).max() < 0.01


def test_directions_far_from_unit_length_are_refused_by_check_and_training(root: Path) -> None:
    data = dataset(root, "vectors")
    problems = check(data, progress=False)
    assert len(problems) == 8
    assert "not of unit length (19 % of pixels)" in problems[0].what
    assert "invalid: [0, 0, 0]" in problems[0].remedy
    with pytest.raises(UserError) as caught:
        data.split("train").load(0)
    assert str(caught.value) == str(problems[0])
