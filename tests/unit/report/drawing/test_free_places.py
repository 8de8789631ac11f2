"""Free places: boxes of the same sizes, inside, none on another, whatever they start from."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalmtl.report.drawing.labels.free_places import Boxes, apart

FRAME = np.array([100.0, 50.0, 700.0, 500.0])
NONE = np.zeros((0, 4))
BOX = st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(20, 160), st.integers(10, 40))


def boxes_of(drawn: list[tuple[float, float, int, int]]) -> tuple[Boxes, Any]:
    """Boxes around points inside of the frame: they may stand out of it."""
    points = np.array([FRAME[:2] + (x, y) * (FRAME[2:] - FRAME[:2]) for x, y, _, _ in drawn])
    half = np.array([(width, height) for _, _, width, height in drawn]) / 2
    return np.concatenate([points - half, points + half], axis=1), points


def overlapping(boxes: Boxes) -> bool:
    return any(
        (one[:2] < other[2:]).all() and (other[:2] < one[2:]).all() for one, other in combinations(list(boxes), 2)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(BOX, min_size=1, max_size=14))
def test_no_two_boxes_share_a_place_and_all_are_inside(drawn: list[tuple[float, float, int, int]]) -> None:
    boxes, points = boxes_of(drawn)
    marks = np.concatenate([points - 6, points + 6], axis=1)
    places, clean = apart(boxes, points, FRAME, marks, NONE, 2.0)
    np.testing.assert_allclose(places[:, 2:] - places[:, :2], boxes[:, 2:] - boxes[:, :2])
    assert (places[:, :2] >= FRAME[:2] - 0.51).all()
    assert (places[:, 2:] <= FRAME[2:] + 0.51).all()
    assert clean != overlapping(places)
    if float((boxes[:, 2:] - boxes[:, :2]).prod(1).sum()) < 0.12 * 600 * 450:
        assert clean, "there was room"


def test_what_is_in_nobodys_way_stays() -> None:
    boxes, points = boxes_of([(0.2, 0.2, 40, 20), (0.8, 0.8, 40, 20), (0.8, 0.8, 40, 20)])
    places, clean = apart(boxes, points, FRAME, NONE, NONE, 2.0)
    assert clean
    np.testing.assert_array_equal(places[:2], boxes[:2])
    beside = np.abs(places[2] - boxes[2])[:2]
    assert 20 <= beside.max() <= 50, "next to the one that lies there"


def test_marks_and_lines_are_left_free_where_there_is_a_choice() -> None:
    boxes, points = boxes_of([(0.5, 0.5, 60, 20)] * 2)
    marks = np.concatenate([points - 6, points + 6], axis=1)
    line = np.array([[x, 270.0, x + 16, 280.0] for x in range(100, 700, 16)])
    places, clean = apart(boxes, points, FRAME, marks, line, 2.0)
    assert clean
    assert not overlapping(np.concatenate([places[1:], marks[:1]]))
    assert not any(overlapping(np.stack([places[1], piece])) for piece in line)


def test_boxes_without_room_say_so_and_stay_inside() -> None:
    boxes, points = boxes_of([(0.5, 0.5, 400, 300)] * 3)
    places, clean = apart(boxes, points, FRAME, NONE, NONE, 2.0)
    assert not clean
    assert (places[:, :2] >= FRAME[:2]).all()
    assert (places[:, 2:] <= FRAME[2:]).all()
    wide, point = boxes_of([(0.5, 0.5, 900, 20)])
    assert apart(wide, point, FRAME, NONE, NONE, 2.0)[0][0, 0] == FRAME[0], "wider than the frame: from its left edge"
