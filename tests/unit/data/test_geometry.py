"""Mapping from result pixels to stored pixels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as TF

from frugalmtl.data.geometry import Geometry, Warp

sides = st.integers(1, 12)
sizes = st.tuples(sides, sides)
quick = settings(max_examples=60, deadline=None)


def picture(height: int, width: int, channels: int = 2) -> torch.Tensor:
    return torch.randint(
        0, 255, (channels, height, width), generator=torch.Generator().manual_seed(height * 31 + width)
    )


@quick
@given(sizes)
def test_the_same_size_changes_nothing(size: tuple[int, int]) -> None:
    warp = Warp.of(Geometry(size, size))
    values = picture(*size)
    assert warp.covered
    assert torch.equal(warp.nearest(values), values)
    assert torch.equal(warp.smooth(values, "bicubic", border=True), values.float())


@quick
@given(sizes, sizes)
def test_resize_agrees_with_torchvision(source: tuple[int, int], size: tuple[int, int]) -> None:
    warp = Warp.of(Geometry(source, size))
    values = picture(*source)
    assert warp.covered
    near = TF.resize(values, list(size), interpolation=TF.InterpolationMode.NEAREST_EXACT)
    # Ties (a sampling point on a pixel border) may fall to either side in single precision; all others must agree.
    x, y = Geometry(source, size).coordinates()
    clear = ((x - x.round()).abs() > 1e-5) & ((y - y.round()).abs() > 1e-5)
    assert torch.equal(warp.nearest(values) * clear, near * clear)
    linear = TF.resize(values.float(), list(size), interpolation=TF.InterpolationMode.BILINEAR, antialias=False)
    torch.testing.assert_close(warp.smooth(values, "bilinear", border=True), linear, atol=2e-3, rtol=1e-4)


@quick
@given(sizes, sizes, st.floats(0, 1), st.floats(0, 1))
def test_pad_copies_pixels_and_support_is_exactly_the_image(
    source: tuple[int, int], size: tuple[int, int], across: float, down: float
) -> None:
    warp = Warp.of(Geometry(source, size, fit="pad", place=(across, down)))
    values = picture(*source)
    shown = warp.nearest(values) * warp.support
    height, width = min(source[0], size[0]), min(source[1], size[1])
    assert int(warp.support.sum()) == height * width
    rows, columns = warp.support.any(1).nonzero().flatten(), warp.support.any(0).nonzero().flatten()
    window = shown[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    patches = values.unfold(1, height, 1).unfold(2, width, 1).flatten(1, 2)
    assert any(torch.equal(window, patch) for patch in patches.unbind(1))
    assert torch.equal(warp.smooth(values, "bilinear", border=False), shown.float())


@pytest.mark.parametrize(("place", "first"), [((0.0, 0.0), (0, 0)), ((1.0, 1.0), (4, 2)), ((0.5, 0.5), (2, 1))])
def test_the_window_reaches_both_ends(place: tuple[float, float], first: tuple[int, int]) -> None:
    warp = Warp.of(Geometry((4, 6), (2, 2), fit="pad", place=place))
    columns, rows = torch.meshgrid(torch.arange(6), torch.arange(4), indexing="xy")
    assert (int(warp.nearest(columns)[0, 0]), int(warp.nearest(rows)[0, 0])) == first


@pytest.mark.parametrize(("place", "first"), [(0.0, 0), (0.3, 0), (0.4, 1), (0.6, 1), (0.7, 2), (0.999, 2)])
def test_every_window_is_as_likely(place: float, first: int) -> None:
    warp = Warp.of(Geometry((1, 3), (1, 1), fit="pad", place=(place, 0.0)))
    assert warp.nearest(torch.arange(3)[None]).item() == first


def test_a_tie_goes_to_the_right_whatever_rounding_does() -> None:
    for count in range(1, 200):
        read = Warp.of(Geometry((1, 2 * count), (1, count))).nearest(torch.arange(2 * count)[None])
        assert torch.equal(read[0], 2 * torch.arange(count) + 1)


@pytest.mark.parametrize("turns", [-1, 1, 2, 3])
@pytest.mark.parametrize("side", [5, 8])
def test_right_angles_are_exact(turns: int, side: int) -> None:
    values = picture(side, side)
    warp = Warp.of(Geometry((side, side), (side, side), degrees=90.0 * turns))
    assert warp.covered
    assert torch.equal(warp.nearest(values), torch.rot90(values, turns, (-2, -1)))
    assert torch.equal(warp.smooth(values, "bilinear", border=False), torch.rot90(values, turns, (-2, -1)).float())


@quick
@given(sizes, sizes, st.floats(0.3, 3), st.floats(-180, 180), st.sampled_from(["resize", "pad"]))
def test_coordinates_follow_the_stated_formula(
    source: tuple[int, int], size: tuple[int, int], scale: float, degrees: float, fit: str
) -> None:
    geometry = Geometry(source, size, scale, degrees, fit)  # type: ignore[arg-type]
    x, y = (grid.expand(size) for grid in geometry.coordinates())
    angle, centre = math.radians(degrees), torch.tensor([source[1] / 2, source[0] / 2], dtype=torch.float64)
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    stretch = torch.tensor(
        [1.0, 1.0] if fit == "pad" else [size[1] / source[1], size[0] / source[0]], dtype=torch.float64
    )
    points = torch.stack([x, y], -1) - centre
    landed = stretch * (scale * points @ turn.T + scale * centre)
    steps = landed - torch.stack(torch.meshgrid(torch.arange(size[1]), torch.arange(size[0]), indexing="xy"), -1)
    torch.testing.assert_close(steps, steps[:1, :1].expand_as(steps))  # one window offset for all pixels
    offset = steps[0, 0] - 0.5
    slack = stretch * scale * 2 * centre - torch.tensor([size[1], size[0]])
    if degrees == 0.0 and scale == 1.0:
        assert bool(((offset - slack / 2).abs() <= 0.5).all())
    else:
        torch.testing.assert_close(offset, slack / 2)  # place (0.5, 0.5): the middle


def test_a_turned_square_leaves_the_corners_uncovered() -> None:
    warp = Warp.of(Geometry((40, 40), (40, 40), degrees=45.0))
    corners = warp.support[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert not corners.any()
    # An octagon: what two squares of side 1 turned by 45 degrees share has the area 2 (sqrt 2 - 1).
    assert warp.support.float().mean() == pytest.approx(2 * (math.sqrt(2) - 1), abs=0.01)
