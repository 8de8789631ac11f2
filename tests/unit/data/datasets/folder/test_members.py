"""Lists of ids, and images that they name in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.data import check
from frugalmtl.data.coverage import require_labels
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import dataset_file, write_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_folder(tmp_path, folders=("image", "seg", "depth"))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("im00\r\nim01\r\n", ["im00", "im01"]),
        ("  im00\t\n\n \nim01  ", ["im00", "im01"]),
        ('"im00"\n"im01"\n', ["im00", "im01"]),
        ("im00\rim01", ["im00", "im01"]),
    ],
)
def test_a_list_is_read_whatever_surrounds_its_ids(root: Path, text: str, ids: list[str]) -> None:
    (root / "train.txt").write_text(text, newline="")
    assert list(Folder(file=str(dataset_file(root))).split("train").ids) == ids


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("im00.png\nim01.png\n", "its ids carry an ending ('im00.png' for 'im00')"),
        ("IM00\nIM01\n", "its ids differ in case ('IM00' for 'im00')"),
        ("image/im00.png\n", "its ids carry a folder and an ending"),
    ],
)
def test_a_list_whose_ids_are_written_otherwise_is_one_line(root: Path, text: str, words: str) -> None:
    (root / "train.txt").write_text(text)
    dataset = Folder(file=str(dataset_file(root)))
    (problem,) = check(dataset, ["train"], progress=False)
    assert problem.file == str(root / "train.txt")
    assert words in str(problem)
    with pytest.raises(UserError, match="split 'train' cannot be used"):
        require_labels(dataset, ["seg"], ["train"])


def test_single_images_that_are_missing_are_named_with_the_nearest(root: Path) -> None:
    (root / "train.txt").write_text("im00\nim01\nim2\n")
    (problem,) = check(Folder(file=str(dataset_file(root))), ["train"], progress=False)
    assert problem.file == str(root / "image/im2.png")
    assert "the nearest file is image/im" in str(problem)
    assert str(root / "train.txt") in str(problem)


def test_shares_without_an_image_name_the_nearest(root: Path) -> None:
    dataset = Folder(file=str(dataset_file(root, images="images/{id}.png", splits={"train": 0.5, "val": 0.5})))
    with pytest.raises(UserError, match=r"no file .* matches images/\{id\}\.png; the nearest folder is image/"):
        dataset.split("train")
    dataset = Folder(file=str(dataset_file(root, splits={"train": 1.0, "val": 0.0})))
    with pytest.raises(UserError, match="its share of the images is too small"):
        dataset.split("val")
