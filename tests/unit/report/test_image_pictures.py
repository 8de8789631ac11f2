"""Pictures of single images in a results file: round trip, files from before, checks, and their place on the page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Curve, Distribution, Heatmap, Overlay, Picture
from frugalmtl.report import ImagePictures, Results, write_report
from frugalmtl.report.drawing import canvas
from frugalmtl.report.pictures import Drawing, drawings

Make = Callable[..., Results]


def _pictures() -> list[Picture]:
    return [
        Heatmap("map", "Map", ["a"], ["x"], [[0.5]]),
        Curve("curve", "Curve", "block", "tokens", {"a": [(0.0, 0.5), (1.0, math.nan)]}, "Read it so."),
        Overlay("overlay", "Overlay", [1], ["first"], [[[0.0, math.nan], [1.0, 0.25]]]),
        Distribution("macs", "Macs", "G", {"a": [1.0, math.nan]}, "", [0, 1], [1.0, 2.0]),
    ]


@pytest.fixture
def shown(make_results: Make, tmp_path: Path) -> Results:
    results = make_results(pictures=False)
    results.rows[1].image_pictures = ImagePictures.of(_pictures())
    (tmp_path / "figures").mkdir(exist_ok=True)
    for number in range(2):
        Image.new("RGB", (8, 6), (90 * number, 0, 0)).save(tmp_path / "figures" / f"example_{number}.png")
        results.examples.append(f"figures/example_{number}.png")
    return results


def test_pictures_survive_the_file(shown: Results) -> None:
    again = Results.from_json(shown.to_json())
    assert again.to_json() == shown.to_json()
    kept = again.rows[1].image_pictures
    assert (kept.distributions, kept.overlays[0].images, kept.curves[0].lines["a"][0]) != ([], [], None)
    assert kept.curves[0].lines["a"][0] == (0.0, 0.5)
    assert math.isnan(kept.overlays[0].masks[0][0][1])
    assert kept.photographs() == {0, 1}
    assert again.rows[0].image_pictures == ImagePictures()


def test_files_from_before_still_load(shown: Results) -> None:
    content = json.loads(shown.to_json())
    del content["examples"]
    for row in content["rows"]:
        del row["image_pictures"]
    results = Results.from_json(json.dumps(content))
    assert results.examples == []
    assert results.rows[1].image_pictures.all() == []


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of the section alone."""

    def of_section(results: Results, folder: Path) -> list[Drawing]:
        return [each for each in drawings(results, folder) if each.section == "decisions"]

    monkeypatch.setattr("frugalmtl.report.write.drawings", of_section)
    monkeypatch.setattr(canvas, "_PRINTED", 72)


@pytest.mark.usefixtures("alone")
def test_every_kind_is_a_figure_of_the_row_on_the_page_and_a_file(shown: Results, tmp_path: Path) -> None:
    figures = {each.name: each for each in drawings(shown, tmp_path) if each.section == "decisions"}
    assert list(figures) == ["decisions_hard_macs", "decisions_hard_overlay", "decisions_hard_curve"]
    assert {each.row for each in figures.values()} == {"hard"}
    assert figures["decisions_hard_curve"].caption == "Read it so."
    page = write_report(shown, tmp_path).read_text(encoding="utf-8")
    for name, figure in figures.items():
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 1000
        assert figure.text in page.replace("&#39;", "'")


@pytest.mark.usefixtures("alone")
def test_a_photograph_that_is_missing_is_named_before_anything_is_written(shown: Results, tmp_path: Path) -> None:
    (tmp_path / "figures" / "example_1.png").unlink()
    with pytest.raises(UserError, match=r"example_1.png does not exist"):
        write_report(shown, tmp_path)
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("overlays", {"name": "curve"}, "unique"),
        ("overlays", {"name": "../x"}, "letters, digits"),
        ("overlays", {"images": [0, 1]}, "as many panels as images and masks"),
        ("overlays", {"images": [], "panels": [], "masks": []}, "one at least"),
        ("overlays", {"images": [2]}, "shows image 2, but there are 2"),
        ("overlays", {"images": [-1]}, "shows image -1"),
        ("overlays", {"masks": [[]]}, "rows of equal length"),
        ("overlays", {"masks": [[[]]]}, "rows of equal length"),
        ("overlays", {"masks": [[[1.0], [1.0, 0.0]]]}, "rows of equal length"),
        ("overlays", {"masks": [[[1.5]]]}, "shares from 0 to 1"),
        ("distributions", {"groups": {}}, "at least one group"),
        ("distributions", {"groups": {"a": []}}, "group 'a' must hold at least one value"),
        ("distributions", {"groups": {"a": ["Infinity"]}}, "none of them infinite"),
        ("distributions", {"extremes": [0]}, "as many extremes as extreme values, but has 1 and 2"),
        ("distributions", {"extremes": [0, 9]}, "shows image 9"),
        ("curves", {"lines": {}}, "at least one line"),
        ("curves", {"lines": {"a": []}}, "at least one point"),
        ("curves", {"lines": {"a": [[1.0]]}}, "must be a list of 2"),
    ],
)
def test_broken_pictures_are_refused(shown: Results, kind: str, change: dict[str, Any], message: str) -> None:
    content = json.loads(shown.to_json())
    content["rows"][1]["image_pictures"][kind][0] |= change
    with pytest.raises(UserError, match=message):
        Results.from_json(json.dumps(content))


def test_photographs_outside_of_the_folder_are_refused(shown: Results) -> None:
    shown.examples[0] = "../secret.png"
    with pytest.raises(UserError, match="inside the folder"):
        shown.check()
