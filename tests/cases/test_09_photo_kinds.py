"""Case 09, kinds of photographs: one reader for training, checks and predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalmtl.data.check import check
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.data.photographs import read_photo
from frugalmtl.data.problems import BadFileError
from tests.support.toy_folder import dataset_file, save, scene, write_folder

RGB = Image.fromarray(scene(3, (32, 40))["image"])
GREY = np.array(RGB.convert("L"))

READ: dict[str, Callable[[Path], object]] = {
    "rgb.png": RGB.save,
    "grey8.png": Image.fromarray(GREY).save,
    "grey16.png": Image.fromarray(GREY.astype(np.uint16) * 257).save,
    "grey16.tif": Image.fromarray(GREY.astype(np.uint16) * 257).save,
    "grey16.pgm": Image.fromarray(GREY.astype(np.uint16) * 257).save,
    "rgba.png": RGB.convert("RGBA").save,
    "palette.gif": RGB.convert("P").save,
    "cmyk.jpg": RGB.convert("CMYK").save,
    "bit.png": RGB.convert("1").save,
    "lossless.webp": lambda path: RGB.save(path, lossless=True),
    "dot.png": Image.new("RGB", (1, 1)).save,
    "line.png": Image.new("RGB", (600, 2)).save,
}
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "float.tif": (Image.fromarray(GREY.astype(np.float32)).save, "32-bit floats"),
    "int32.tif": (Image.fromarray(GREY.astype(np.int32) * 256).save, "32-bit whole numbers"),
    "lab.tif": (RGB.convert("LAB").save, "of the kind LAB"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "is not an image"),
    "text.jpg": (lambda path: path.write_text("<html>404</html>"), "is not an image"),
    "cut.png": (lambda path: (RGB.save(path), path.write_bytes(path.read_bytes()[:900])), "cannot be read"),
    "clip.mp4": (lambda path: path.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"), "is not an image"),
    "folder.png": (Path.mkdir, "is a folder"),
    "gone.png": (lambda path: None, "does not exist"),
}


def dataset(root: Path, name: str) -> Folder:
    write_folder(root, count=2, folders=("image",))
    stem, ending = Path(name).stem, Path(name).suffix
    save(root / f"seg/{stem}.png", np.zeros((4, 4), np.uint8))
    (root / "train.txt").write_text(stem)
    task = {"kind": "segmentation", "classes": ["a", "b"], "files": "seg/{id}.png"}
    return Folder(file=str(dataset_file(root, {"seg": task}, images="photos/{id}" + ending)))


@pytest.mark.parametrize("name", READ)
def test_training_sees_what_predict_sees(tmp_path: Path, name: str) -> None:
    data = dataset(tmp_path, name)
    (tmp_path / "photos").mkdir()
    READ[name](tmp_path / "photos" / name)
    image = data.split("train").load(0).image.permute(1, 2, 0).numpy()
    photo = read_photo(tmp_path / "photos" / name)
    assert np.array_equal(image, photo)
    if name.startswith("grey"):
        assert np.array_equal(photo, np.stack([GREY] * 3, axis=-1))
    elif name in ("rgb.png", "rgba.png", "lossless.webp"):
        assert np.array_equal(photo, np.array(RGB))


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_one_line_everywhere(tmp_path: Path, name: str) -> None:
    write, words = REFUSED[name]
    data = dataset(tmp_path, name)
    (tmp_path / "photos").mkdir()
    write(tmp_path / "photos" / name)
    with pytest.raises(BadFileError, match=words) as caught:
        read_photo(tmp_path / "photos" / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadFileError) as same:
        data.split("train").load(0)
    assert str(same.value) == str(caught.value)
    if (tmp_path / "photos" / name).is_file():  # of files that do not exist the check says what is nearest
        assert [str(problem) for problem in check(data, ["train"], progress=False)] == [str(caught.value)]
