"""Encodings: stored numbers and colours to labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.data.encodings import ENCODINGS, encoding, read_label
from frugalmtl.data.encodings.base import UNLISTED, markers, translate
from frugalmtl.data.problems import BadFileError
from frugalmtl.tasks import TASKS, Task

SEG: Task = TASKS.build({"name": "segmentation", "classes": ["a", "b", "3"]})
DEPTH: Task = TASKS.build("depth")
NORMALS: Task = TASKS.build("normals")
SALIENCY: Task = TASKS.build("saliency")


def label(file: Path, values: Any, task: Task, section: Any) -> torch.Tensor:
    """The label of an array or image that is written first."""
    if file.suffix == ".npy":
        np.save(file, values)
    else:
        Image.fromarray(np.asarray(values)).save(file)
    return read_label(file, task, encoding(section, task, file.name))


def test_every_encoding_says_which_labels_it_reads() -> None:
    assert ENCODINGS.names() == ["binary", "colours", "index", "scaled", "values", "vectors"]
    for name in ENCODINGS.names():
        assert set(ENCODINGS.get(name).label_types) <= {"classes", "continuous"}  # type: ignore[attr-defined]
        assert "invalid" in ENCODINGS.schema(name)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int64, np.uint64, np.float32, np.bool_])
def test_indices_of_any_type_of_number(tmp_path: Path, dtype: Any) -> None:
    values = np.array([[0, 1], [1, 0]], dtype)
    assert label(tmp_path / "a.npy", values, SEG, "index").tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("section", "right"),
    [
        ({"first": 1, "invalid": 0}, [255, 0, 1, 255]),
        ({"first": 1, "void": [0]}, [255, 0, 1, 255]),
        ({"map": {0: "b", 1: "3", 2: 0}}, [1, 2, 0, 255]),
        ({"map": {0: 0, 1: 0, 2: 0, 255: 1}}, [0, 0, 0, 1]),
        ({"map": {1: 1}, "invalid": [0, 2]}, [255, 1, 255, 255]),
        ({"map": {1: 1, 2_000_000: 2}, "invalid": [0, 2]}, [255, 1, 255, 255]),
    ],
)
def test_ids_to_classes(tmp_path: Path, section: dict[str, Any], right: list[int]) -> None:
    stored = np.array([[0, 1, 2, 255]], np.uint8)
    assert label(tmp_path / "a.png", stored, SEG, {"name": "index", **section}).tolist() == [right]


def test_class_maps_in_floats_hold_whole_numbers_or_nan(tmp_path: Path) -> None:
    assert label(tmp_path / "a.npy", [[0.0, np.nan, 2.0]], SEG, "index").tolist() == [[0, 255, 2]]
    with pytest.raises(BadFileError, match="holds fractions"):
        label(tmp_path / "b.npy", [[0.5, 1.0]], SEG, "index")


@pytest.mark.parametrize("keys", [[0, 1, 2], [5, 70_000], [-3, 2**40]])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_a_table_of_any_width_translates_or_marks(keys: list[int], dtype: Any) -> None:
    values = np.array([[0, 1, 5, 200]], dtype)
    table = {key: place for place, key in enumerate(keys)}
    right = [[table.get(int(value), UNLISTED) for value in values[0]]]
    assert translate(values, table).tolist() == right


def test_colours_of_every_kind_of_image(tmp_path: Path) -> None:
    section = {"name": "colours", "map": {"#000000": "a", "[255, 255, 255]": 1}, "invalid": [[9, 9, 9]]}
    right = [[0, 1, 255]]
    grey = np.array([[0, 255, 9]], np.uint8)
    rgb = np.stack([grey] * 3, axis=-1)
    rgba = np.concatenate([rgb, grey[..., None]], axis=-1)
    for name, values in (("grey", grey), ("rgb", rgb), ("rgba", rgba)):
        assert label(tmp_path / f"{name}.png", values, SEG, section).tolist() == right
    Image.fromarray(grey).convert("P").save(tmp_path / "p.png")
    assert read_label(tmp_path / "p.png", SEG, encoding(section, SEG, "")).tolist() == right
    with pytest.raises(BadFileError, match="holds no colours"):
        label(tmp_path / "a.npy", rgb, SEG, section)


def test_colours_of_numbers(tmp_path: Path) -> None:
    section = {"name": "colours", "map": {"#000000": 0, "#800000": 1}, "invalid": "#e0e0c0"}
    stored = np.array([[[0, 0, 0], [128, 0, 0], [224, 224, 192]]], np.uint8)
    values = label(tmp_path / "a.png", stored, SALIENCY, section)
    assert values.shape == (1, 1, 3)
    assert values[0, 0, :2].tolist() == [0.0, 1.0]
    assert values[0, 0, 2].isnan()
    with pytest.raises(UserError, match="needs a number"):
        encoding({"name": "colours", "map": {"#000000": "black"}}, SALIENCY, "")


def test_colours_changed_by_jpeg_are_named(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 2, (16, 16, 1), np.uint8) * np.array([128, 0, 0], np.uint8)
    with pytest.raises(BadFileError, match=r"#.{6} \(.* % of pixels\).*JPEG changes the values"):
        label(tmp_path / "a.jpg", stored, SEG, {"name": "colours", "map": {"#000000": 0, "#800000": 1}})


@pytest.mark.parametrize(
    ("invalid", "channels", "right"),
    [
        (0, 1, [(0,)]),
        ([0, 65535], 1, [(0,), (65535,)]),
        ("#ffffff", 1, [(255,)]),
        ([1, 2, 3], 1, [(1,), (2,), (3,)]),
        ([1, 2, 3], 3, [(1, 2, 3)]),
        (0, 3, [(0, 0, 0)]),
        ([0, 255], 3, [(0, 0, 0), (255, 255, 255)]),
        (["#010203", [4, 5, 6]], 3, [(1, 2, 3), (4, 5, 6)]),
        ([], 3, []),
    ],
)
def test_markers_of_no_label(invalid: Any, channels: int, right: list[tuple[float, ...]]) -> None:
    assert markers(invalid, channels) == right


@pytest.mark.parametrize(("task", "section"), [(DEPTH, "values"), (DEPTH, {"name": "scaled", "scale": 1.0})])
def test_a_colour_is_no_number(task: Task, section: Any) -> None:
    stated = {"name": section, "invalid": "#010203"} if isinstance(section, str) else {**section, "invalid": "#010203"}
    with pytest.raises(UserError, match=r"'#010203', but a pixel has one number"):
        encoding(stated, task, "{id}.npy")


def test_invalid_numbers_are_nan(tmp_path: Path) -> None:
    stored = np.array([[0, 1500, 65535]], np.uint16)
    section = {"name": "scaled", "scale": 0.001, "offset": 1.0, "invalid": [0, 65535]}
    values = label(tmp_path / "a.png", stored, DEPTH, section)[0, 0]
    assert values.isnan().tolist() == [True, False, True]
    assert values[1] == 2.5
    section = {"name": "values", "invalid": [-1, float("inf")]}
    values = label(tmp_path / "a.npy", np.array([[-1, np.inf, 2.0]]), DEPTH, section)
    assert values[0, 0].isnan().tolist() == [True, True, False]


@pytest.mark.parametrize("value", [0, 255])
def test_one_coloured_masks_are_as_good_as_any(tmp_path: Path, value: int) -> None:
    assert (label(tmp_path / "a.png", np.full((3, 3), value, np.uint8), SALIENCY, "binary") == (value > 0)).all()


@pytest.mark.parametrize(
    ("stored", "above"),
    [([0, 1], 0), ([1, 1], 0), ([0, 100], 0), ([60, 100], 60), ([128, 255], 191.5)],
)
def test_a_threshold_that_parts_nothing_is_refused_unless_stated(
    tmp_path: Path, stored: list[int], above: float
) -> None:
    values = np.array([stored], np.uint8)
    with pytest.raises(BadFileError, match=f"above: {above:g}}}"):
        label(tmp_path / "a.png", values, SALIENCY, "binary")
    read = label(tmp_path / "a.png", values, SALIENCY, {"name": "binary", "above": above})
    assert read.flatten().tolist() == [float(value > above) for value in stored]
    assert label(tmp_path / "a.png", values, SALIENCY, {"name": "binary", "above": 127}).shape == (1, 1, 2)


def test_binary_arrays_may_hold_truth_values_and_nan(tmp_path: Path) -> None:
    assert label(tmp_path / "a.npy", np.array([[True, False]]), SALIENCY, "binary").flatten().tolist() == [1.0, 0.0]
    values = label(tmp_path / "b.npy", np.array([[0.0, 255.0, np.nan]]), SALIENCY, "binary").flatten()
    assert values[:2].tolist() == [0.0, 1.0]
    assert values[2].isnan()


def test_what_is_invalid_does_not_part_the_values(tmp_path: Path) -> None:
    stored = np.array([[0, 1, 255]], np.uint8)
    with pytest.raises(BadFileError, match="from 0 to 1"):
        label(tmp_path / "a.png", stored, SALIENCY, {"name": "binary", "invalid": 255})


@pytest.mark.parametrize(
    ("task", "section", "words"),
    [
        (NORMALS, "binary", "one channel"),
        (DEPTH, "vectors", "three channels"),
        (NORMALS, {"name": "colours", "map": {"#000000": 1}}, "one value per pixel"),
        (NORMALS, {"name": "vectors", "signs": [1, 2, 1]}, "1 or -1"),
        (SEG, "binary", "read by 'colours' or 'index'"),
    ],
)
def test_an_encoding_that_does_not_suit_the_task_is_refused(task: Task, section: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"encoding of task '{task.name}': .*{words}"):
        encoding(section, task, "{id}.png")


def test_vectors_are_read_from_8_bits_alone(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="8-bit colours"):
        label(tmp_path / "a.npy", np.zeros((4, 4, 3), np.float32), NORMALS, "vectors")
