"""The script beside exported networks: the ways in and out, and its pictures, against the library's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from frugalmtl.core.checks import UserError
from frugalmtl.export import _run_model as script
from frugalmtl.export._record import output_record
from frugalmtl.tasks import Task, make_task
from frugalmtl.tasks._decoding import Decoding, Step

GENERATOR = np.random.default_rng(0)


def task_of(kind: str, **more: Any) -> Task:
    return make_task({"kind": kind, **more})


@pytest.mark.parametrize("size", [(5, 9), (30, 50), (61, 50), (97, 128), (31, 200)])
def test_windows_cover_every_pixel_once(size: tuple[int, int]) -> None:
    """What counts of each window lies in it, and windows of the network's size reach no further than the photograph."""
    seen = np.zeros(size, int)
    for rows, columns, kept_rows, kept_columns in script.windows(*size, (30, 50), "pad"):
        seen[kept_rows, kept_columns] += 1
        for part, kept, length, window in zip((rows, columns), (kept_rows, kept_columns), size, (30, 50), strict=True):
            assert 0 <= part.start <= kept.start < kept.stop <= part.stop <= length
            assert part.stop - part.start == min(window, length)
    assert (seen == 1).all()
    assert len(script.windows(*size, (30, 50), "resize")) == 1


def test_windows_are_joined_where_they_meet() -> None:
    """Each window knows its own pixels: joined they are the photograph again."""
    whole = np.arange(3 * 70 * 120, dtype=np.float32).reshape(3, 70, 120)
    places = script.windows(70, 120, (32, 48), "pad")
    parts = [
        {"map": whole[:, rows, columns], "word": np.array(number)} for number, (rows, columns, *_) in enumerate(places)
    ]
    joined = script.joined(parts, places, {"map": {"map": True}, "word": {"map": False}})
    np.testing.assert_array_equal(joined["map"], whole)
    assert joined["word"] == (len(places) - 1) // 2


@pytest.mark.parametrize("size", [(40, 60), (7, 9), (12, 90), (20, 30)])
def test_maps_are_resized_as_torch_does(size: tuple[int, int]) -> None:
    maps = GENERATOR.normal(size=(3, 20, 30)).astype(np.float32)
    expected = F.interpolate(torch.from_numpy(maps)[None], size, mode="bilinear", antialias=True)[0]
    np.testing.assert_allclose(script.resized(maps, size), expected.numpy(), atol=1e-5)


def test_classes_keep_their_areas_and_their_outlines_are_smooth() -> None:
    """An inclined edge between two classes: no other class appears, and the edge is not one of blocks."""
    fine_rows, fine_columns = np.mgrid[0:160, 0:160]
    expected = np.where(fine_columns > 40 + 0.4 * fine_rows, 7, 2)
    coarse = expected[4::8, 4::8]
    resized = script.back_to_photo(coarse, "class index", (160, 160), "resize")
    blocks = np.kron(coarse, np.ones((8, 8), int))
    assert set(np.unique(resized)) == {2, 7}
    assert (resized != expected).mean() < 0.8 * (blocks != expected).mean()
    np.testing.assert_array_equal(script.back_to_photo(coarse, "class index", coarse.shape, "resize"), coarse)


def test_directions_stay_directions_and_padding_is_cut() -> None:
    vectors = GENERATOR.normal(size=(3, 4, 6)).astype(np.float32)
    resized = script.back_to_photo(vectors, "unit vector", (11, 13), "resize")
    np.testing.assert_allclose(np.linalg.norm(resized, axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(script.back_to_photo(vectors, "metres", (2, 3), "pad"), vectors[:, 1:3, 1:4])


STEPS = [Step("sigmoid"), Step("exp"), Step("softplus"), Step("clip", low=0.1), Step("unit_vectors"), Step("argmax")]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_steps_of_decoding_are_the_library_s(step: Step) -> None:
    raw = GENERATOR.normal(size=(1, 3, 4, 5)).astype(np.float32)
    decoding = Decoding((step,), "metres")
    expected = decoding(torch.from_numpy(raw)).numpy()
    np.testing.assert_allclose(script.decode(raw, decoding.record()), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="does not know: sharpen"):
        script.decode(raw, [{"step": "sharpen"}])


TASKS = [
    task_of("segmentation", classes=["floor", "wall", "other"]),
    task_of("human_parts"),
    task_of("depth"),
    task_of("normals"),
    task_of("edges"),
]


def decoded_map(task: Task) -> torch.Tensor:
    raw = torch.randn(1, task.channels, 30, 40, generator=torch.Generator().manual_seed(1)).cumsum(3)
    return task.decode(raw.abs() + 1 if task.kind == "depth" else raw)[0]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_pictures_are_those_of_the_report(task: Task) -> None:
    decoded = decoded_map(task)
    picture = script.draw(decoded.numpy(), output_record(task)).astype(int)
    difference = np.abs(picture - task.draw(decoded))
    assert (difference > 4).mean() < 0.001


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("size", [(30, 40), (40, 600)])
def test_overlays_have_a_key_beneath(task: Task, size: tuple[int, int]) -> None:
    decoded = F.interpolate(decoded_map(task).float().reshape(1, -1, 30, 40), size)[0]
    values = decoded[0].long() if task.label_type == "classes" else decoded
    photo = GENERATOR.integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = script.overlay(photo, values.numpy(), output_record(task))
    height, width, _ = picture.shape
    assert width == max(240, size[1])
    key = picture[size[0] :]
    assert 10 < height - size[0] < 120
    assert (key < 100).any(axis=2).sum() > 20  # letters
    for name, colour in task.legend.items():
        patch = (key == np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)).all(axis=2).sum()
        assert (patch > 60) == (task.classes.index(name) in np.unique(values))


def test_the_bar_in_metres_says_what_the_picture_shows() -> None:
    """Far is left and dark; the ends of the bar have the colours of the ends of the scale."""
    task = task_of("depth")
    metres = np.linspace(1, 9, 40, dtype=np.float32)[None, None].repeat(30, axis=1)
    low, high = script.inverse_limits(metres)
    assert 1 / high == pytest.approx(1.1, abs=0.2)
    assert 1 / low == pytest.approx(8.8, abs=0.2)
    key = script.overlay(np.zeros((30, 40, 3), np.uint8), metres, output_record(task))[30:]
    bar = key[10].astype(int).sum(axis=1)
    assert bar[10] < 60
    assert bar[-10] > 600


@pytest.mark.parametrize(
    ("millimetres", "stored"), [(0.0004, 0), (1.2344, 1234), (65.535, 65535), (65.5361, 0), (4000.0, 0)]
)
def test_depth_that_no_16_bits_hold_is_none(millimetres: float, stored: int) -> None:
    values = np.full((1, 2, 2), millimetres, np.float32)
    arrays = script.products(
        np.zeros((2, 2, 3), np.uint8), values, output_record(task_of("depth")), ("depth_mm", "ids")
    )
    assert list(arrays) == ["-mm.png"]
    assert (arrays["-mm.png"] == stored).all()


def test_summaries() -> None:
    ground = output_record(task_of("segmentation", classes=["floor", "wall", "other"]))
    assert script.summary(np.array([[0, 0], [0, 2]]), ground) == {"shares": {"floor": 0.75, "wall": 0.0, "other": 0.25}}
    scene = output_record(task_of("classification", classes=["kitchen", "hall"], exclusive=True))
    assert script.summary(np.array(1), scene) == {"class": "hall"}
    looks = output_record(task_of("classification", classes=["bright", "tidy"]))
    assert script.summary(np.array([0.25, 1.0]), looks) == {"probabilities": {"bright": 0.25, "tidy": 1.0}}
    depth = script.summary(np.array([[[1.0, 3.0, 8.0]]]), output_record(task_of("depth")))
    assert depth == {"unit": "metres", "min": 1.0, "median": 3.0, "max": 8.0, "mean": 4.0}


def test_a_step_that_no_script_knows_cannot_be_stated() -> None:
    with pytest.raises(UserError, match="step of a decoding"):
        Step("sharpen")
