"""Colours of labels and predictions."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from frugalmtl.tasks._drawing import palette


def test_the_first_twenty_colours_can_be_told_apart() -> None:
    colours = palette(20).astype(float)
    nearest = min(combinations(range(20), 2), key=lambda pair: np.linalg.norm(colours[pair[0]] - colours[pair[1]]))
    assert np.linalg.norm(colours[nearest[0]] - colours[nearest[1]]) > 40, f"colours {nearest} are too alike"


def test_any_number_of_classes_has_different_colours() -> None:
    assert len({tuple(colour) for colour in palette(150, background=True).tolist()}) == 150
