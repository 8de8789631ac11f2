"""Pictures of interference: cosines, conflicts, lengths, weights, affinity."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frugalmtl.report import Epoch, Results
from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.palette import DARK
from frugalmtl.report.pictures.affinity import affinity_maps
from frugalmtl.report.pictures.cosines import cosine_curves, pairs_over_epochs
from frugalmtl.report.pictures.pair_summaries import summary
from tests.support.report import add_interference, interference_drawings, with_tasks

Make = Callable[..., Results]


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)])
def test_every_figure_is_drawn_for_any_number_of_tasks(
    make_results: Make, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(canvas, "_PRINTED", 72)
    results = add_interference(with_tasks(make_results(pictures=False), count))
    for history in results.curves.values():
        del history[3:]
    results.rows = results.rows[:1] + results.rows[-1:]
    results.curves = {row.name: results.curves[row.name] for row in results.rows}
    expected = [
        "interference_conflicts",
        "interference_cosines",
        "curves_cosines",
        *(["cosines_gated_large"] if count > 4 else []),
        "curves_norms",
        "curves_weights",
        "affinity_gated_large",
    ]
    figures = interference_drawings(results)
    assert list(figures) == expected
    for each in figures.values():
        for look in (Look(), Look(DARK, narrow=True)):
            picture = Image.open(io.BytesIO(each.draw(look)))
            assert np.asarray(picture.convert("L")).std() > 5
        assert each.row == ("gated_large" if each.name == "cosines_gated_large" else "")


def test_pairs_have_panels_in_which_conflict_lies_on_grey(make_results: Make, drawn: list[Any]) -> None:
    results = add_interference(make_results(pictures=False))
    cosine_curves(results)
    panels = [axes for axes in drawn[-1].axes if axes.lines]
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles[:3] == ["segmentation ~ depth", "segmentation ~ normals", "segmentation ~ classification"]
    assert len(titles) == 6
    assert len({axes.get_ylim() for axes in panels}) == 1, "one scale for all"
    lines = [line for line in panels[0].lines if len(line.get_xdata()) > 2]
    assert len(lines) == 4, "the reference shares nothing"
    expected = [epoch.cosines["segmentation~depth"] for epoch in results.curves["hard"]]
    np.testing.assert_allclose(lines[0].get_ydata(), expected)
    (ground,) = panels[0].patches
    assert ground.get_y() + ground.get_height() == pytest.approx(0)
    assert [text.get_text() for text in drawn[-1].legends[0].get_texts()] == [row.label for row in results.rows[1:]]


def test_too_many_pairs_become_means_per_task_and_a_map_per_model(make_results: Make, drawn: list[Any]) -> None:
    results = add_interference(with_tasks(make_results(pictures=False), 5), every=2)
    figures = interference_drawings(results)
    assert [name for name in figures if name.startswith("cosines_")] == [
        "cosines_hard",
        "cosines_mtinet",
        "cosines_gated",
        "cosines_gated_large",
    ]
    cosine_curves(results)
    panels = [axes for axes in drawn[-1].axes if axes.lines]
    assert [axes.get_title(loc="left") for axes in panels] == [task.name for task in results.tasks]
    first = results.curves["hard"][0].cosines
    mean = np.mean([value for pair, value in first.items() if "depth" in pair])
    assert panels[1].lines[0].get_ydata()[0] == pytest.approx(mean)
    picture = pairs_over_epochs(results, results.row("hard"))
    assert picture is not None
    assert len(picture.rows) == 10
    assert len(picture.columns) == 25, "epochs without a comparison are left out"
    assert picture.limits == (-0.5, 0.5)


def test_long_trainings_are_averaged_over_neighbouring_epochs(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.curves = {"hard": [Epoch(index, cosines={"depth~normals": index % 2}) for index in range(1, 101)]}
    picture = pairs_over_epochs(results, results.row("hard"))
    assert picture is not None
    assert (picture.columns[0], picture.columns[-1], len(picture.columns)) == ("1–3", "100", 34)
    np.testing.assert_allclose(picture.values[0][:3], [2 / 3, 1 / 3, 2 / 3])


def test_summaries_are_means_over_the_epochs_that_compared(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.curves = {
        "hard": [
            Epoch(1, cosines={"depth~segmentation": 0.5}, conflicts={"depth~segmentation": 0.0}),
            Epoch(2),
            Epoch(3, cosines={"depth~segmentation": -0.25}, conflicts={"depth~segmentation": 1.0}),
        ],
        "mtinet": [Epoch(1, cosines={"segmentation~depth": math.nan, "depth~normals": 0.1})],
    }
    cosines = summary(results, "cosines")
    conflicts = summary(results, "conflicts")
    assert cosines is not None
    assert conflicts is not None
    assert cosines.rows == ["segmentation ~ depth", "depth ~ normals"], "in the report's order, either way round"
    assert cosines.columns == ["Hard sharing", "MTI-Net"]
    np.testing.assert_array_equal(cosines.values, [[0.125, math.nan], [math.nan, 0.1]])
    assert conflicts.values == [[0.5]]
    assert cosines.limits == (-0.2, 0.2)


def test_conflict_is_red_and_cosines_part_at_zero(make_results: Make, drawn: list[Any]) -> None:
    figures = interference_drawings(add_interference(make_results(pictures=False)))

    def redness(name: str) -> Any:
        """Red minus blue at the lower end, the middle and the upper end of the scale."""
        figures[name].draw(Look())
        (image,) = drawn[-1].axes[0].get_images()
        colours = image.cmap(image.norm(np.array([image.norm.vmin, 0.5 * sum(image.get_clim()), image.norm.vmax])))
        return (colours[:, 0] - colours[:, 2]).round(1)

    assert list(redness("interference_conflicts")) == [0.1, 0.7, 0.4]
    below, zero, above = redness("interference_cosines")
    assert (below > 0.2, zero, above < -0.2) == (True, 0.0, True)


def test_models_whose_tasks_share_nothing_have_nothing_to_get_on_with(make_results: Make) -> None:
    results = make_results(pictures=False)
    alone = Epoch(1, norms={"depth": 1.0, "normals": 2.0}, cosines={"depth~normals": 0.0})
    alone.conflicts, alone.weights = {"depth~normals": 0.0}, {"depth": 1.0, "normals": 2.0}
    results.curves = {"single": [alone, alone]}
    assert interference_drawings(results) == {}
    results.curves["hard"] = [Epoch(1, cosines={"depth~normals": 0.0}), Epoch(2, cosines={"depth~normals": 1e-9})]
    picture = summary(results, "cosines")
    assert picture is not None
    assert picture.columns == ["Hard sharing"]


def test_weights_are_drawn_only_where_tasks_weigh_differently(make_results: Make, drawn: list[Any]) -> None:
    results = add_interference(make_results(pictures=False))
    figures = interference_drawings(results)["curves_weights"]
    assert "Single-task networks, Hard sharing, MTI-Net, InterroGate, light" in figures.caption
    assert "most in classification" in figures.text
    figures.draw(Look())
    assert [text.get_text() for text in drawn[-1].legends[0].get_texts()] == ["InterroGate + MTI-Net + CAGrad"]
    assert drawn[-1].axes[0].get_yscale() == "linear"
    for epoch in results.curves["gated_large"]:
        epoch.weights = {"segmentation": 1.0, "depth": 0.01}
    figures.draw(Look())
    assert drawn[-1].axes[0].get_yscale() == "log"
    for epoch in results.curves["gated_large"]:
        epoch.weights = {"segmentation": 4.0, "depth": 4.0}
    assert "curves_weights" not in interference_drawings(results)


def test_figures_with_negative_weights_and_vanished_gradients(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    results.curves = {
        "hard": [Epoch(1, weights={"depth": -1.0, "normals": 3.0}, norms={"depth": 0.0, "normals": 2.0})],
    }
    figures = interference_drawings(results)
    assert list(figures) == ["curves_norms", "curves_weights"]
    for each in figures.values():
        each.draw(Look())
    assert drawn[-1].axes[0].get_ylim()[0] < -0.5


def test_affinity_has_one_scale_for_all_models_and_leaves_the_diagonal_beyond_it(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.rows[1].affinity = {"normals": {"depth": 0.004, "normals": 0.3}, "depth": {"depth": 0.2, "normals": -0.01}}
    results.rows[2].affinity = {"depth": {"normals": 0.0012}, "helper": {"depth": math.nan}}
    results.rows[3].affinity = {"depth": {"normals": math.nan}}
    maps = affinity_maps(results)
    assert list(maps) == ["hard", "mtinet"]
    assert maps["hard"].limits == maps["mtinet"].limits == (-1.0, 1.0), "percent"
    assert maps["hard"].rows == maps["hard"].columns == ["depth", "normals"]
    np.testing.assert_allclose(maps["hard"].values, [[20.0, -1.0], [0.4, 30.0]])
    assert maps["mtinet"].rows == ["depth", "helper"]
    np.testing.assert_allclose(maps["mtinet"].values, [[math.nan, 0.12], [math.nan, math.nan]])
    assert [each.title for each in interference_drawings(results).values()] == ["Hard sharing", "MTI-Net"]


@pytest.mark.parametrize("narrow", [False, True])
def test_names_in_summaries_can_be_read(make_results: Make, drawn: list[Any], narrow: bool) -> None:
    results = add_interference(with_tasks(make_results(pictures=False), 7))
    for name in ("interference_conflicts", "interference_cosines"):
        interference_drawings(results)[name].draw(Look(narrow=narrow))
        figure = drawn[-1]
        figure.canvas.draw()
        axes, bar = figure.axes
        labels = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(first.x1 <= second.x0 + 1 for first, second in pairwise(labels))
        assert min(label.y0 for label in labels) >= -1
        assert bar.xaxis.label.get_window_extent().x1 <= figure.bbox.x1 + 1
        ticks = [label.get_window_extent() for label in bar.get_xticklabels() if label.get_text()]
        assert all(first.x1 < second.x0 for first, second in pairwise(ticks))
        texts = {text.get_text() for text in axes.texts}
        assert len(texts) > 10, "numbers in the cells"
        if not narrow:
            assert "InterroGate +\nMTI-Net +\nCAGrad" in [label.get_text() for label in axes.get_xticklabels()]
