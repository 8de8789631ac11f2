"""Labels: apart from each other and from the points, inside the axes, the same every time."""

from __future__ import annotations

import textwrap
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalmtl.report.drawing.canvas import new_figure
from frugalmtl.report.drawing.labels import label_points


def _labelled(seed: int, count: int) -> tuple[Any, list[Any], list[tuple[float, float]]]:
    """Axes with random points, some close together, and their labels."""
    generator = np.random.default_rng(seed)
    points = [(float(x), float(y)) for x, y in generator.random((count, 2)) * generator.choice([0.3, 1.0], (count, 1))]
    axes = new_figure((5.1, 4.1)).add_subplot(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    axes.scatter(*zip(*points, strict=True))
    texts = [axes.text(0, 0, f"model {place}", fontsize=8.5) for place in range(count)]
    for text in texts:
        text.set_in_layout(False)
    axes.figure.canvas.draw()
    label_points(axes, points, texts, [((-0.1, 0.2), (1.1, 0.2))])
    return axes, texts, points


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 5, 12])
def test_labels_keep_apart_and_inside_and_off_the_points(seed: int, count: int) -> None:
    axes, texts, points = _labelled(seed, count)
    boxes = [text.get_window_extent() for text in texts]
    frame = axes.get_window_extent()
    covered = sum(box.contains(*axes.transData.transform(point)) for box in boxes for point in points)
    assert covered <= (count > 5), "at most one point where they lie in heaps"
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    for box in boxes:
        assert frame.x0 - 1 <= box.x0 < box.x1 <= frame.x1 + 1
        assert frame.y0 - 1 <= box.y0 < box.y1 <= frame.y1 + 1


@settings(max_examples=4, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=9),
    st.floats(0.01, 1.0),
    st.lists(st.integers(3, 56), min_size=9, max_size=9),
)
def test_no_two_labels_cover_each_other_whatever_the_points(
    spread: list[tuple[float, float]], size: float, letters: list[int]
) -> None:
    points = [(0.4 + size * (x - 0.4), 0.6 + size * (y - 0.6)) for x, y in spread]
    axes = new_figure((5.1, 4.3)).add_subplot(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    words = ["\n".join(textwrap.wrap("word " * (count // 4) + "end", 28)) for count in letters]
    texts = [axes.text(0, 0, text, fontsize=8.5) for text in words[: len(points)]]
    for text in texts:
        text.set_in_layout(False)
    axes.figure.canvas.draw()
    label_points(axes, points, texts, [((-0.1, 0.0), (1.1, 0.0))])
    boxes, frame = [text.get_window_extent() for text in texts], axes.get_window_extent()
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    for box in boxes:
        assert frame.x0 - 1 <= box.x0 < box.x1 <= frame.x1 + 1
        assert frame.y0 - 1 <= box.y0 < box.y1 <= frame.y1 + 1


def test_placement_does_not_depend_on_the_clock_or_on_random_state() -> None:
    first = [text.get_position() for text in _labelled(3, 12)[1]]
    np.random.seed(7)
    assert [text.get_position() for text in _labelled(3, 12)[1]] == first


def test_only_distant_labels_are_tied_to_their_point() -> None:
    axes, _, _ = _labelled(0, 1)
    assert not axes.patches
    axes = new_figure((5.1, 4.1)).add_subplot(xlim=(0, 1), ylim=(0, 1))
    texts = [axes.text(0, 0, f"model {place}") for place in range(14)]
    axes.figure.canvas.draw()
    label_points(axes, [(0.5, 0.5)] * 14, texts, [])
    assert 0 < len(axes.patches) < 14
