"""Overlays, distributions and curves: everything said is drawn, inside the figure and off each other."""

from __future__ import annotations

import io
import math
import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Curve, Distribution, Overlay
from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.curve import curve, curve_words
from frugalmtl.report.drawing.distribution import distribution, distribution_words
from frugalmtl.report.drawing.overlay import computed, covered, overlay, overlay_words
from frugalmtl.report.drawing.photographs import ExamplePhotos, enlarged
from frugalmtl.report.palette import DARK

LONG = "a name of a layer, far too long for the room above its panel, that goes on and on"
CHECKER = [[1.0, 0.0], [0.0, 1.0]]


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer dots per inch: nothing that is looked at here depends on them."""
    monkeypatch.setattr(canvas, "_PRINTED", 72)


@pytest.fixture
def photographs(tmp_path: Path) -> ExamplePhotos:
    generator = np.random.default_rng(0)
    for number in range(12):
        size = (48, 64, 3) if number % 2 else (64, 48, 3)
        Image.fromarray(generator.integers(0, 255, size, dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return ExamplePhotos(tmp_path, [f"{number}.png" for number in range(12)])


def _overlay(images: int, layers: int, name: str = "stage") -> Overlay:
    numbers = [number for number in range(images) for _ in range(layers)]
    panels = [f"{name} {layer}" for _ in range(images) for layer in range(layers)]
    masks = [CHECKER, [[math.nan] * 2, [0.5, 1.0]], [[0.0]]]
    return Overlay("tokens", "Tokens", numbers, panels, [masks[place % 3] for place in range(len(panels))])


def _inside(figure: Any) -> None:
    """No text leaves the figure, and the texts of panels do not overlap."""
    figure.set_layout_engine("none")  # as it was drawn
    figure.canvas.draw()
    frame = figure.bbox
    boxes = [axes._left_title.get_window_extent() for axes in figure.findobj(lambda each: hasattr(each, "_left_title"))]
    words = [legend.get_window_extent() for legend in figure.legends]
    for box in [box for box in boxes if box.width] + words:
        assert frame.x0 - 1 <= box.x0
        assert box.x1 <= frame.x1 + 1
        assert frame.y0 - 1 <= box.y0
        assert box.y1 <= frame.y1 + 1
    for one, other in combinations([box for box in boxes if box.width], 2):
        assert not one.overlaps(other)


@pytest.mark.parametrize(
    ("images", "layers", "name", "narrow"),
    [(1, 1, "stage", False), (1, 1, "stage", True), (12, 1, LONG, False), (1, 12, "stages.2.block", True)],
)
def test_overlays_show_every_mask_with_its_share(
    photographs: ExamplePhotos, drawn: list[Any], images: int, layers: int, name: str, narrow: bool
) -> None:
    picture = _overlay(images, layers, name)
    overlay("AdaMTL " * 30, picture, photographs, Look(DARK if narrow else Look().theme, narrow=narrow))
    (figure,) = drawn
    _inside(figure)
    shown = [axes for axes in figure.axes if axes.get_images()]
    assert len(shown) == images * (layers + 1), "each image as it is, and once per mask"
    titles = [axes.get_title(loc="left") for axes in shown]
    assert sum(title.endswith("50\u00a0% computed") for title in titles) == sum(
        mask is CHECKER for mask in picture.masks
    )
    assert all("computed" in title or title.startswith("image ") for title in titles)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["covered: not computed"]


def test_masks_are_enlarged_with_sharp_edges_and_cover_what_is_not_computed() -> None:
    photo = np.full((9, 10, 3), (200, 120, 40), dtype=np.uint8)
    large = enlarged(np.array(CHECKER), 9, 10)
    assert set(np.unique(large)) == {0.0, 1.0}
    assert large[:, 0].tolist() == [1] * 5 + [0] * 4
    shown = covered(photo, CHECKER)
    assert (shown[large == 1] == photo[large == 1]).all(), "what is computed is the photograph itself"
    assert shown[large == 0].max() < 100
    half = covered(photo, [[0.5]])
    assert shown[0, -1].mean() < half.mean() < photo.mean()
    hatched = covered(photo, [[math.nan]])
    assert set(np.unique(hatched)) == {178, 214}


def test_shares_leave_out_what_is_not_known() -> None:
    assert computed([[math.nan, 0.25], [0.75, math.nan]]) == 0.5
    picture = Overlay("t", "Tokens", [3, 5, 3], ["a", "a", "b"], [[[1.0]], [[0.5]], [[math.nan]]])
    assert overlay_words(picture) == "Tokens. Computed, mean over 2 images: a 75\u00a0%, b –."


def test_svg_photographs_are_small_and_the_same_every_time(photographs: ExamplePhotos) -> None:
    picture = _overlay(1, 3)
    svg = overlay("A", picture, photographs, Look(form="svg"))
    assert svg == overlay("A", picture, photographs, Look(form="svg"))
    assert re.findall(rb"data:image/(\w+)", svg) == [b"jpeg"] * 4
    assert b"50\xc2\xa0% computed" in svg


def test_photographs_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lies outside of"):
        ExamplePhotos(tmp_path, ["../x.png"])[0]


@pytest.mark.parametrize(("extremes", "narrow"), [(0, False), (1, True), (12, False)])
def test_distributions_show_every_value_and_the_images_at_the_ends(
    photographs: ExamplePhotos, drawn: list[Any], extremes: int, narrow: bool
) -> None:
    groups = {"one": [1.7], LONG: [1.0, math.nan, 1.0, 2.0], "nothing": [math.nan]}
    values = [1 + place / 7 for place in range(extremes)]
    picture = Distribution("macs", "Compute", "multiply-adds in G", groups, "", list(range(extremes)), values)
    content = distribution("A model", picture, photographs, Look(narrow=narrow))
    assert Image.open(io.BytesIO(content)).format == "PNG"
    _inside(drawn[0])
    strips = next(axes for axes in drawn[0].findobj(lambda each: hasattr(each, "_left_title")) if axes.collections)
    dots = [each.get_offsets()[:, 0].tolist() for each in strips.collections if isinstance(each, PathCollection)]
    assert dots == [[1.7], [1.0, 1.0, 2.0], []]
    names = [label.get_text() for label in strips.get_yticklabels()]
    assert [name.splitlines()[-1] for name in names] == ["1.70 (1.70 to 1.70)", "1.33 (1.00 to 2.00)", "–"]
    shown = [axes for axes in drawn[0].findobj(lambda each: hasattr(each, "_left_title")) if axes.get_images()]
    titles = [axes.get_title(loc="left") for axes in shown]
    assert len(titles) == extremes
    assert [title.split("\n")[0] for title in titles] == [f"{value:.2f}" for value in values]
    assert [title.split("\n")[1] for title in titles if "\n" in title] == ["lowest", "highest"][:extremes]
    assert distribution_words(picture).startswith("Compute, multiply-adds in G: one 1.70 (1.70 to 1.70); a name of")


def test_values_that_are_all_the_same_or_unknown_are_drawn(photographs: ExamplePhotos, drawn: list[Any]) -> None:
    for values in ([0.0] * 40, [math.nan]):
        distribution("A", Distribution("macs", "Compute", "G", {"all": values}), photographs)
        low, high = drawn[-1].axes[0].get_xlim()
        assert math.isfinite(low)
        assert low < high


@pytest.mark.parametrize("narrow", [False, True])
def test_curves_show_every_line_and_bridge_nothing_that_is_not_there(drawn: list[Any], narrow: bool) -> None:
    lines = {f"{LONG} {place}": [(0.0, 0.5), (1.0, math.nan), (2.0, place / 9)] for place in range(9)}
    lines["nothing"] = [(0.0, math.nan)]
    picture = Curve("tokens", "Activated tokens", "block", "share of tokens, " * 6, lines)
    curve("A model " * 20, picture, Look(narrow=narrow))
    _inside(drawn[0])
    (axes,) = drawn[0].axes
    assert [line.get_xdata().tolist() for line in axes.lines] == [[0, 2]] * 9 + [[]]
    styles = [(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in axes.lines]
    assert len(set(styles)) == 10
    assert len(drawn[0].legends[0].get_texts()) == 10
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert all(first.x1 <= second.x0 + 1 for first, second in pairwise(boxes))
    assert "nothing –" in curve_words(picture)
    assert "from 0.500 at 0 to 0.111 at 2, between 0.111 and 0.500" in curve_words(picture)
