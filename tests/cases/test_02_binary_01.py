"""Case 02, masks of 0 and 1: 1 bit, a palette, 8 bits under the encoding ``binary``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.data.check import check
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import dataset_file, scene, write_folder


def palette_image(mask: np.ndarray) -> Image.Image:
    picture = Image.fromarray(mask).convert("P")
    picture.putpalette([0, 0, 0, 255, 255, 255] + [0] * 762)
    return picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in write_folder(tmp_path, folders=("image",)):
        mask = scene(int(name[2:]))["sal"]
        forms = {"eight": Image.fromarray(mask), "bit": Image.fromarray(mask * 255).convert("1")}
        for folder, picture in {**forms, "palette": palette_image(mask)}.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            picture.save(tmp_path / folder / f"{name}.png")
    return tmp_path


def dataset(root: Path, folder: str, encoding: Any = "binary") -> Folder:
    task = {"kind": "saliency", "files": folder + "/{id}.png", "encoding": encoding}
    return Folder(file=str(dataset_file(root, {"sal": task})))


@pytest.mark.parametrize(
    ("folder", "encoding"), [("bit", "binary"), ("palette", "binary"), ("eight", {"name": "binary", "above": 0})]
)
def test_masks_are_read_as_they_look(root: Path, folder: str, encoding: Any) -> None:
    data = dataset(root, folder, encoding)
    assert check(data, progress=False) == []
    for split in data.splits:
        samples = data.split(split)
        for index, name in enumerate(samples.ids):
            label = samples.load(index).labels["sal"]
            assert torch.equal(label[0], torch.from_numpy(scene(int(name[2:]))["sal"]).float())
            assert label.mean() > 0.05


def test_eight_bits_of_0_and_1_are_refused_with_the_key_that_reads_them(root: Path) -> None:
    data = dataset(root, "eight")
    problems = check(data, progress=False)
    assert len(problems) == 8
    assert "holds values from 0 to 1, all at or below the threshold 127" in problems[0].what
    assert "{name: binary, above: 0}" in problems[0].remedy
    with pytest.raises(UserError, match="all at or below the threshold 127"):
        data.split("train").load(0)
