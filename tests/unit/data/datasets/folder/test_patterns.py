"""Patterns of files with one ending, several or any."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.data import Loader, Transform, check
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.data.datasets.folder.listing import Listing
from frugalmtl.data.datasets.folder.patterns import Pattern
from tests.support.toy_folder import TASKS, dataset_file, write_folder


def touch(root: Path, *names: str) -> Listing:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return Listing(root)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("images/{id}.png", ["a", "deep/c", "v1.5"]),
        ("images/{id}.{png,jpg}", ["a", "b", "deep/c", "v1.5"]),
        ("images/{id}.{png,JPG}", ["a", "d", "deep/c", "v1.5"]),
        ("images/{id}.*", ["a", "b", "d", "deep/c", "v1.5"]),
        ("images/de{id}.png", ["ep/c"]),
        ("{id}.JPG", ["images/d"]),
    ],
)
def test_ids_are_those_of_the_files_that_match(tmp_path: Path, text: str, ids: list[str]) -> None:
    names = ("a.png", "b.jpg", "d.JPG", "deep/c.png", "v1.5.png", "a.json", "Thumbs.db", "._a.png", "noending")
    listing = touch(tmp_path, *(f"images/{name}" for name in names))
    pattern = Pattern.of(text, "images")
    assert pattern.ids(listing) == ids
    assert all(len(pattern.files(name, listing)) == 1 for name in ids)
    assert pattern.files("gone", listing) == []


def test_the_case_of_an_ending_counts_unless_any_is_taken(tmp_path: Path) -> None:
    listing = touch(tmp_path, "im.PNG")
    assert Pattern.of("{id}.png", "images").files("im", listing) == []
    assert Pattern.of("{id}.*", "images").files("im", listing) == ["im.PNG"]
    assert Pattern.of("{id}.{png, .PNG}", "images").files("im", listing) == ["im.PNG"]


def test_a_suffix_stands_before_any_ending(tmp_path: Path) -> None:
    listing = touch(tmp_path, "im_depth.npy", "im.png")
    pattern = Pattern.of("{id}_depth.*", "files")
    assert pattern.files("im", listing) == ["im_depth.npy"]
    assert pattern.ids(listing) == ["im"]


@pytest.mark.parametrize(
    "text",
    ["a/{id}.{}", "a/{id}.{png,}", "a/{id}.{png,../x}", "{a,b}/{id}.png", "{id}/*.png", "*/{id}.png", "{id}{id}"],
)
def test_other_braces_and_stars_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="exactly once"):
        Pattern.of(text, "images")


def test_two_files_of_one_id_are_a_problem_with_both_names(tmp_path: Path) -> None:
    write_folder(tmp_path, folders=("image", "seg"))
    (tmp_path / "image/im00.jpg").write_bytes((tmp_path / "image/im00.png").read_bytes())
    (tmp_path / "seg/im01.PNG").write_bytes((tmp_path / "seg/im01.png").read_bytes())
    tasks = {"seg": {**TASKS["seg"], "files": "seg/{id}.*"}}
    dataset = Folder(file=str(dataset_file(tmp_path, tasks, images="image/{id}.{png,jpg}")))
    image, label = check(dataset, progress=False)
    assert str(image).startswith("image/im00.png: is a file of the id 'im00', and so is image/im00.jpg")
    assert str(label).startswith("seg/im01.PNG: is a file of the id 'im01', and so is seg/im01.png")
    with pytest.raises(UserError, match=r"image/im00\.jpg"):
        dataset.split("train").load(0)


def test_images_of_several_endings_are_split_and_loaded(tmp_path: Path) -> None:
    write_folder(tmp_path, folders=("image", "seg"))
    for index in range(0, 8, 2):
        (tmp_path / f"image/im{index:02d}.png").rename(tmp_path / f"image/im{index:02d}.PNG")
    tasks = {"seg": {**TASKS["seg"], "files": "seg/{id}.*"}}
    dataset = Folder(
        file=str(dataset_file(tmp_path, tasks, images="image/{id}.{png,PNG}", splits={"train": 0.5, "val": 0.5}))
    )
    assert check(dataset, progress=False) == []
    ids = [*dataset.split("train").ids, *dataset.split("val").ids]
    assert sorted(ids) == [f"im{index:02d}" for index in range(8)]
    loader = Loader(dataset.split("train"), Transform(dataset.tasks, 32), batch_size=2, workers=1)
    assert all(batch.valid["seg"].any() for batch in loader.epoch())


def test_an_array_among_several_endings_needs_an_encoding(tmp_path: Path) -> None:
    write_folder(tmp_path, folders=("image", "depth"))
    with pytest.raises(UserError, match=r"needs an 'encoding'.*depth/\{id\}\.\{npy,png\}"):
        Folder(file=str(dataset_file(tmp_path, {"d": {"kind": "depth", "files": "depth/{id}.{npy,png}"}})))


def test_a_pickled_listing_is_empty_and_scans_again(tmp_path: Path) -> None:
    listing = touch(tmp_path, "a/b.png")
    assert listing.exists("a/b.png")
    copy = pickle.loads(pickle.dumps(listing))
    assert copy._scanned == {}
    assert copy.exists("a/b.png")
