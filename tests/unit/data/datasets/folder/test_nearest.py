"""Nearest files, folders and ids in messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.data.datasets.folder.listing import Listing
from frugalmtl.data.datasets.folder.nearest import difference, nearest_file

FILES = ("depth/im00.png", "depth/im01.png", "depth/deep/im02.png", "seg/IM00.PNG", "empty/.keep/x", "other/x1.txt")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("depths/im00.png", "the nearest folder is depth/"),
        ("DEPTH/im00.png", "the nearest folder is depth/"),
        ("depth/deeep/im02.png", "the nearest folder is depth/deep/"),
        ("depth/im00_n.png", "the nearest file is depth/im00.png"),
        ("depth/im01.jpg", "the nearest file is depth/im01.png"),
        ("seg/im00.png", "the nearest file is seg/IM00.PNG"),
        ("normals/im00.png", "there is no folder normals/, but depth/, empty/, other/, seg/"),
        ("empty/im00.png", "the folder empty/ holds no file"),
        ("other/im00.png", "the nearest file is other/x1.txt"),
    ],
)
def test_the_first_part_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path, wanted: str, words: str) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert nearest_file(Listing(tmp_path), wanted) == words


@pytest.mark.parametrize(
    ("ids", "wanted", "words"),
    [
        (["im00.png"], ["im00"], "carry an ending ('im00.png' for 'im00')"),
        (["im00"], ["im00.jpg"], "lack the ending"),
        (["images/im00"], ["im00"], "carry a folder"),
        (["im00"], ["rome/im00"], "lack the folder"),
        (["C:\\images\\im00.jpg"], ["im00"], "carry a folder and an ending"),
        (["rome\\im00"], ["rome/im00"], "have backslashes"),
        (["IM00"], ["im00"], "differ in case ('IM00' for 'im00')"),
        (["7"], ["0007"], "lack leading zeros ('7' for '0007')"),
        (["cafe\u0301"], ["caf\u00e9"], "write accents in another form"),
        (["IM00.PNG"], ["im00"], "differ in case and carry an ending"),
        (["x1", "im07"], ["im00"], "are others (the nearest to 'im00' is 'im07')"),
        ([], ["im00"], "it holds no id"),
    ],
)
def test_ids_that_differ_say_how_and_quote_one_of_each(ids: list[str], wanted: list[str], words: str) -> None:
    assert words in difference(ids, wanted)
