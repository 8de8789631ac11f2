"""Bars of colour scales below pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frugalmtl.report.maps.scale_bar import with_bar
from frugalmtl.tasks.depth import depth

TASK = depth()


@pytest.mark.parametrize("width", [32, 64, 300])
def test_the_bar_has_the_colours_of_the_picture(width: int) -> None:
    """The far end at the left and the near end at the right have the colours of the farthest and nearest pixels."""
    metres = torch.linspace(1.0, 9.0, width).expand(1, 20, width)
    assert TASK.colour_scale is not None
    scale = TASK.colour_scale([metres])
    picture = scale.draw(metres)
    drawn = with_bar(picture, scale)
    np.testing.assert_array_equal(drawn[:20], picture)
    assert drawn.shape[1] == width
    bar = next(row for row in drawn[20:] if not (row == 255).all()).astype(int)
    assert np.abs(bar[0] - picture[0, -1]).max() <= 8
    assert np.abs(bar[-1] - picture[0, 0]).max() <= 8
    assert bar.sum(1)[0] < bar.sum(1)[width // 2] < bar.sum(1)[-1], "bright is near"


def test_there_are_numbers_below_the_bar() -> None:
    metres = torch.linspace(1.0, 9.0, 200).expand(1, 20, 200)
    assert TASK.colour_scale is not None
    scale = TASK.colour_scale([metres])
    text = with_bar(scale.draw(metres), scale)[32:]
    dark = (text < 128).all(-1).any(0)
    for part in (dark[:60], dark[80:120], dark[150:]):
        assert part.any()
