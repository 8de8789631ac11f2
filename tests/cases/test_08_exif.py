"""Case 08, EXIF orientations: turned pictures, and damaged blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.data.check import check
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.data.photographs import read_photo
from tests.support.toy_folder import dataset_file, save, scene, write_folder

DAMAGED = {
    "im02": b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\x01",  # a directory that is cut off
    "im03": b"Exif\0\0XXXXGARBAGE",
    "im04": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",  # a text for the orientation
    "im05": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x02\0\0\0\x06\0\x06\0\0\0\0\0",  # two orientations
}


def with_block(jpeg: bytes, block: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:]


def write_jpegs(root: Path, size: tuple[int, int]) -> None:
    for index, name in enumerate(write_folder(root, size=size, folders=("seg",))):
        picture, exif = Image.fromarray(scene(index, size)["image"]), Image.Exif()
        if index == 1:
            picture, exif[0x0112] = picture.rotate(90, expand=True), 6  # as a camera held upright writes it
        file = root / f"jpg/{name}.jpg"
        file.parent.mkdir(exist_ok=True)
        picture.save(file, quality=95, exif=exif)
        if name in DAMAGED:
            file.write_bytes(with_block(file.read_bytes(), DAMAGED[name]))


def dataset(root: Path, **keys: str) -> Folder:
    return Folder(file=str(dataset_file(root, ["seg"], images="jpg/{id}.jpg", **keys)))


def off(image: torch.Tensor, right: np.ndarray) -> float:
    return float(np.abs(image.permute(1, 2, 0).numpy().astype(float) - right).mean())


@pytest.mark.parametrize("size", [(32, 32), (24, 32)])
def test_training_check_and_predict_see_the_picture_as_a_viewer_shows_it(tmp_path: Path, size: tuple[int, int]) -> None:
    write_jpegs(tmp_path, size)
    data = dataset(tmp_path)
    assert check(data, progress=False) == []
    for index in range(6):
        image = data.split("train").load(index).image
        assert off(image, scene(index, size)["image"]) < 15
        photo = read_photo(tmp_path / f"jpg/im{index:02d}.jpg")
        assert np.array_equal(photo, image.permute(1, 2, 0).numpy())


def test_pixels_as_stored_on_demand(tmp_path: Path) -> None:
    write_jpegs(tmp_path, (24, 32))
    data = dataset(tmp_path, exif="ignore")
    (problem,) = check(data, progress=False)
    assert problem.file.endswith("seg/im01.png")
    assert "'exif' in the dataset file" in problem.remedy
    with pytest.raises(UserError, match="'exif' in the dataset file"):
        data.split("train").load(1)
    photo = read_photo(tmp_path / "jpg/im01.jpg", exif="ignore")
    assert photo.shape == (32, 24, 3)
    with pytest.raises(UserError, match=r"unknown exif: 'aply'.*Did you mean 'apply'"):
        dataset(tmp_path, exif="aply")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_are_turned_like_images(tmp_path: Path, orientation: int) -> None:
    write_folder(tmp_path, count=2, size=(24, 32), folders=("image", "seg"))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for folder in ("image", "seg"):
        file = tmp_path / folder / "im00.png"
        picture = Image.open(file)
        picture.load()
        picture.save(file, exif=exif)
    sample = Folder(file=str(dataset_file(tmp_path, ["seg"]))).split("train").load(0)
    turns = {2: (3,), 3: (2, 3), 4: (2,), 5: (0,), 6: (0, 3), 7: (0, 2, 3), 8: (0, 2)}
    right = scene(0, (24, 32))
    image, label = sample.image.permute(1, 2, 0).numpy(), sample.labels["seg"].numpy()
    for values, stored in ((image, right["image"]), (label, right["seg"])):
        for step in turns.get(orientation, ()):
            stored = stored.swapaxes(0, 1) if step == 0 else np.flip(stored, step - 2)
        assert np.array_equal(values, stored)


def test_one_bad_file_is_one_line_of_a_check(tmp_path: Path) -> None:
    write_jpegs(tmp_path, (32, 32))
    (tmp_path / "jpg/im00.jpg").write_bytes(b"\xff\xd8\xff\xe1\0\x08Exif")
    save(tmp_path / "seg/im06.png", np.full((32, 32), 9, np.uint8))
    bad = [problem.file for problem in check(dataset(tmp_path), progress=False)]
    assert bad == [str(tmp_path / "jpg/im00.jpg"), str(tmp_path / "seg/im06.png")]
