"""Stored labels: numbers, indices and colours of label files; arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalmtl.data.files import read_stored
from frugalmtl.data.problems import BadFileError

MASK = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)


def palette(path: Path, colours: list[int]) -> Path:
    picture = Image.fromarray(MASK).convert("P")
    picture.putpalette(colours)
    picture.save(path)
    return path


def test_a_palette_has_indices_and_looks(tmp_path: Path) -> None:
    stored = read_stored(palette(tmp_path / "a.png", [10, 10, 10, 200, 200, 200]))
    assert np.array_equal(stored.indices(), MASK)
    assert np.array_equal(stored.numbers(), np.array([10, 200])[MASK])
    assert np.array_equal(stored.colours()[..., 1], np.array([10, 200])[MASK])
    coloured = read_stored(palette(tmp_path / "b.png", [0, 0, 0, 128, 0, 0]))
    with pytest.raises(BadFileError, match=r"is coloured \('#000000', '#800000'\).*encoding 'colours'"):
        coloured.numbers()


def test_one_bit_is_0_and_1_and_looks_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(MASK * 255).convert("1").save(tmp_path / "a.png")
    stored = read_stored(tmp_path / "a.png")
    assert np.array_equal(stored.indices(), MASK)
    assert np.array_equal(stored.numbers(), MASK * 255)
    assert np.array_equal(stored.colours()[..., 2], MASK * 255)


def test_grey_in_three_channels_is_grey_but_no_index(tmp_path: Path) -> None:
    Image.fromarray(np.stack([MASK] * 3, axis=-1)).save(tmp_path / "a.png")
    stored = read_stored(tmp_path / "a.png")
    assert np.array_equal(stored.numbers(), MASK)
    with pytest.raises(BadFileError, match=r"shape \[2, 3, 3\]"):
        stored.indices()


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (1, 2, 3)])
def test_arrays_of_one_channel_come_in_three_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", MASK.reshape(shape))
    assert np.array_equal(read_stored(tmp_path / "a.npy").numbers(), MASK)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_vectors_have_channels_first_or_last(tmp_path: Path, order: str) -> None:
    vectors = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    np.save(tmp_path / "first.npy", np.asarray(vectors, order=order))
    np.save(tmp_path / "last.npy", np.asarray(vectors.transpose(1, 2, 0), order=order))
    for name in ("first", "last"):
        assert np.array_equal(read_stored(tmp_path / f"{name}.npy").channels(3), vectors)


def test_a_header_that_claims_more_than_the_file_takes_no_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((20, 20)))
    data = (tmp_path / "a.npy").read_bytes()
    huge = data.replace(b"(20, 20), }" + b" " * 16, b"(2000000000, 2000000000), }")
    assert huge != data
    (tmp_path / "a.npy").write_bytes(huge)
    with pytest.raises(BadFileError, match=r"a whole [.]npy array"):
        read_stored(tmp_path / "a.npy")


def test_archives_and_pickles_are_no_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip.npy", "w") as archive:
        archive.writestr("a.npy", b"x")
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    for name, words in (("zip", "does not hold numbers"), ("pickle", "cannot be read"), ("words", "numbers")):
        with pytest.raises(BadFileError, match=words):
            read_stored(tmp_path / f"{name}.npy")
