"""Edges, saliency and attributes against their written rules, and the balance of what is shown."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from frugalmtl_rooms import ATTRIBUTES, CLASSES, PARTS, RoomSample, render
from frugalmtl_rooms.labels import CLOSE, VISIBLE, saliency
from frugalmtl_rooms.scene.assembly import build
from frugalmtl_rooms.visibility.antialias import outlines

SEEDS = 300


@pytest.fixture(scope="module")
def many() -> list[RoomSample]:
    return [render(seed, 64) for seed in range(SEEDS)]


def test_edges_are_where_instances_change() -> None:
    s = render(6, 64)
    padded = np.pad(s.instances, 1, mode="edge")
    expected = np.zeros((64, 64), bool)
    for di, dj in ((0, 1), (2, 1), (1, 0), (1, 2)):
        expected |= padded[di : di + 64, dj : dj + 64] != s.instances
    assert_array_equal(s.edges, expected)
    assert not outlines(np.ones((5, 7), np.int32)).any()


def test_every_instance_has_one_class(many: list[RoomSample]) -> None:
    for s in many[:40]:
        pairs = np.unique(np.stack([s.instances.ravel(), s.segmentation.ravel()]), axis=1)
        assert len(np.unique(pairs[0])) == pairs.shape[1]


def test_salient_pixels_form_whole_objects_of_the_right_kind(many: list[RoomSample]) -> None:
    never = [CLASSES.index(n) for n in ("wall", "floor", "ceiling", "window", "door", "picture", "rug")]
    for s in many[:80]:
        for i in np.unique(s.instances[s.saliency]):
            assert s.saliency[s.instances == i].all()
        assert not np.isin(s.segmentation[s.saliency], never).any()
    assert np.mean([s.saliency.any() for s in many]) > 0.9


def _two_objects(shift: int) -> np.ndarray:
    """Two equal squares of instances 7 and 8; the first moves to the left by shift pixels, partly out of the image."""
    grid = np.ones((60, 60), np.int32)
    grid[20:40, 36:56] = 8
    grid[20:40, max(0, 4 - shift) : 24 - shift] = 7
    return grid


def test_saliency_prefers_whole_objects_over_cut_ones() -> None:
    scene = next(s for s in map(build, range(50)) if s.instance_class[7:9].min() >= 0 and len(s.instance_class) > 9)
    classes = scene.instance_class.copy()
    classes[7:9] = CLASSES.index("box")
    object.__setattr__(scene, "instance_class", classes)
    grey = np.full((3, 3600), 0.5, np.float32)
    whole = saliency(scene, _two_objects(0), grey)
    assert whole[_two_objects(0) == 7].all()
    assert whole[_two_objects(0) == 8].all()
    cut = saliency(scene, _two_objects(8), grey)
    assert not cut[_two_objects(8) == 7].any()
    assert cut[_two_objects(8) == 8].all()


def test_attributes_follow_visible_pixels(many: list[RoomSample]) -> None:
    place = {name: k for k, name in enumerate(ATTRIBUTES)}
    objects = [name for name in ATTRIBUTES if name in CLASSES]
    assert len(objects) == 13
    for s in many[:120]:
        ids, counts = np.unique(s.instances, return_counts=True)
        label = {i: s.segmentation[s.instances == i][0] for i in ids}
        share = dict(zip(ids, counts / s.instances.size, strict=True))
        for name in objects:
            expected = any(share[i] >= VISIBLE for i in ids if label[i] == CLASSES.index(name))
            assert s.attributes[place[name]] == expected, name
        people = [share[i] for i in ids if label[i] == CLASSES.index("person") and share[i] >= VISIBLE]
        assert s.attributes[place["several_people"]] == (len(people) >= 2)
        assert s.attributes[place["close_up"]] == (max(people, default=0) >= CLOSE)
        luma = s.image.reshape(-1, 3).mean(0) @ np.array([0.299, 0.587, 0.114])
        assert s.attributes[place["dark"]] == (luma < 85)
        if s.attributes[place["sitting"]] or s.attributes[place["arms_raised"]]:
            assert s.attributes[place["person"]]
        if s.attributes[place["wooden_floor"]]:
            assert (s.segmentation == CLASSES.index("floor")).mean() >= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("shifted", [False, True])
def test_every_attribute_is_balanced(many: list[RoomSample], shifted: bool) -> None:
    samples = [render(seed, 48, shifted=True) for seed in range(SEEDS)] if shifted else many
    rates = np.mean([s.attributes for s in samples], 0)
    for name, rate in zip(ATTRIBUTES, rates, strict=True):
        assert 0.08 <= rate <= 0.92, (name, rate)


def test_close_ups_and_people_have_their_share(many: list[RoomSample]) -> None:
    rates = dict(zip(ATTRIBUTES, np.mean([s.attributes for s in many], 0), strict=True))
    assert 0.24 <= rates["close_up"] <= 0.38
    assert 0.40 <= rates["person"] <= 0.75


def test_all_classes_and_parts_appear(many: list[RoomSample]) -> None:
    classes = np.sum([np.bincount(s.segmentation.ravel(), minlength=len(CLASSES)) for s in many], 0)
    parts = np.sum([np.bincount(s.human_parts.ravel(), minlength=len(PARTS)) for s in many], 0)
    assert (classes / classes.sum()).min() > 0.002
    assert (parts / parts.sum()).min() > 0.002
