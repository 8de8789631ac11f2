"""What balancing did over training: weights, gradients and affinity, from the file to the page."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from frugalmtl.report import Epoch, Results, StepCost, _canvas, write_report
from frugalmtl.report import _interference_figures as interference_figures
from frugalmtl.report import page as page_module
from frugalmtl.report._html import Markup
from frugalmtl.report._interference_figures import around_zero
from frugalmtl.report._records import pair_name, per_pair, per_task
from frugalmtl.report._tables import step_table
from frugalmtl.report.columns import step_baseline
from frugalmtl.report.figures import Drawing, Look, drawings
from frugalmtl.report.page import render_page
from frugalmtl.report.palette import DARK, LIGHT
from tests.unit.report.conftest import add_interference, with_tasks

Make = Callable[..., Results]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every matplotlib figure that is drawn."""
    kept: list[Any] = []
    original = _canvas.new_figure

    def keep(size: tuple[float, float]) -> Any:
        kept.append(original(size))
        return kept[-1]

    monkeypatch.setattr(_canvas, "new_figure", keep)
    return kept


def _own(results: Results) -> dict[str, Drawing]:
    return {each.name: each for each in drawings(results) if each.section in ("interference", "affinity")}


def test_records_of_weights_and_gradients_survive_the_file(make_results: Make) -> None:
    results = add_interference(make_results(pictures=False))
    results.rows[1].cost.step = StepCost(12.5, 3e8)
    again = Results.from_json(results.to_json())
    assert again.to_json() == results.to_json()
    assert again.curves["hard"][3] == results.curves["hard"][3]
    assert again.curves["hard"][3].cosines.keys() == again.curves["hard"][3].conflicts.keys()
    assert again.rows[-1].affinity == results.rows[-1].affinity
    assert again.rows[1].cost.step == StepCost(12.5, 3e8)
    assert again.rows[2].cost.step is None


def test_files_from_before_weights_and_gradients_still_load(make_results: Make) -> None:
    content = json.loads(make_results(pictures=False).to_json())
    for row in content["rows"]:
        del row["affinity"], row["cost"]["step"]
    for history in content["curves"].values():
        for epoch in history:
            for key in ("weights", "norms", "cosines", "conflicts"):
                del epoch[key]
    results = Results.from_json(json.dumps(content))
    assert results.curves["hard"][0].cosines == {}
    assert (results.rows[0].affinity, results.rows[0].cost.step) == ({}, None)
    assert _own(results) == {}


@pytest.mark.parametrize("count", [2, 3, 7])
def test_every_figure_is_drawn_for_any_number_of_tasks(
    make_results: Make, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(_canvas, "_PRINTED", 72)
    results = add_interference(with_tasks(make_results(pictures=False), count))
    for history in results.curves.values():
        del history[3:]
    results.rows = results.rows[:1] + results.rows[-1:]
    results.curves = {row.name: results.curves[row.name] for row in results.rows}
    expected = [
        "interference_conflicts",
        "interference_cosines",
        "curves_cosines",
        "curves_norms",
        "curves_weights",
        "affinity_gated_large",
    ]
    made = _own(results)
    assert list(made) == expected + (["cosines_gated_large"] if count > 4 else [])
    for each in made.values():
        for look in (Look(), Look(DARK, narrow=True)):
            picture = Image.open(io.BytesIO(each.draw(look)))
            assert np.asarray(picture.convert("L")).std() > 5
        assert each.row == ("gated_large" if each.name == "cosines_gated_large" else "")


def test_pairs_have_panels_in_which_conflict_lies_on_grey(make_results: Make, drawn: list[Any]) -> None:
    results = add_interference(make_results(pictures=False))
    interference_figures.cosine_curves(results)
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
    made = _own(results)
    assert [name for name in made if name.startswith("cosines_")] == [
        "cosines_hard",
        "cosines_mtinet",
        "cosines_gated",
        "cosines_gated_large",
    ]
    interference_figures.cosine_curves(results)
    panels = [axes for axes in drawn[-1].axes if axes.lines]
    assert [axes.get_title(loc="left") for axes in panels] == [task.name for task in results.tasks]
    first = results.curves["hard"][0].cosines
    mean = np.mean([value for pair, value in first.items() if "depth" in pair])
    assert panels[1].lines[0].get_ydata()[0] == pytest.approx(mean)
    picture = interference_figures.pairs_over_epochs(results, results.row("hard"))
    assert picture is not None
    assert len(picture.rows) == 10
    assert len(picture.columns) == 25, "epochs without a comparison are left out"
    assert picture.limits == (-0.5, 0.5)


def test_long_trainings_are_averaged_over_neighbouring_epochs(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.curves = {"hard": [Epoch(index, cosines={"depth~normals": index % 2}) for index in range(1, 101)]}
    picture = interference_figures.pairs_over_epochs(results, results.row("hard"))
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
    cosines = interference_figures.summary(results, "cosines")
    conflicts = interference_figures.summary(results, "conflicts")
    assert cosines is not None
    assert conflicts is not None
    assert cosines.rows == ["segmentation ~ depth", "depth ~ normals"], "in the report's order, either way round"
    assert cosines.columns == ["Hard sharing", "MTI-Net"]
    np.testing.assert_array_equal(cosines.values, [[0.125, math.nan], [math.nan, 0.1]])
    assert conflicts.values == [[0.5]]
    assert cosines.limits == (-0.2, 0.2)


def test_conflict_is_red_and_cosines_part_at_zero(make_results: Make, drawn: list[Any]) -> None:
    made = _own(add_interference(make_results(pictures=False)))

    def redness(name: str) -> Any:
        """Red minus blue at the lower end, the middle and the upper end of the scale."""
        made[name].draw(Look())
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
    assert _own(results) == {}
    results.curves["hard"] = [Epoch(1, cosines={"depth~normals": 0.0}), Epoch(2, cosines={"depth~normals": 1e-9})]
    picture = interference_figures.summary(results, "cosines")
    assert picture is not None
    assert picture.columns == ["Hard sharing"]


def test_weights_and_norms_are_relative_to_the_mean_of_a_model(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.curves = {
        "hard": [Epoch(1, weights={"depth": 3.0, "normals": 1.0, "edges": math.nan}, norms={"depth": 1.0})],
        "mtinet": [Epoch(1, weights={"depth": 0.5, "normals": -0.5}, norms={"depth": 0.0, "normals": 0.0})],
    }
    assert per_task(results, "weights") == {
        "hard": [(1, {"depth": 1.5, "normals": 0.5})],
        "mtinet": [(1, {"depth": 1.0, "normals": -1.0})],
    }
    assert per_task(results, "norms") == {}, "one task alone, or no length at all, says nothing"


def test_weights_are_drawn_only_where_tasks_weigh_differently(make_results: Make, drawn: list[Any]) -> None:
    results = add_interference(make_results(pictures=False))
    made = _own(results)["curves_weights"]
    assert "Single-task networks, Hard sharing, MTI-Net, InterroGate, light" in made.caption
    assert "most in classification" in made.text
    made.draw(Look())
    assert [text.get_text() for text in drawn[-1].legends[0].get_texts()] == ["InterroGate + MTI-Net + CAGrad"]
    assert drawn[-1].axes[0].get_yscale() == "linear"
    for epoch in results.curves["gated_large"]:
        epoch.weights = {"segmentation": 1.0, "depth": 0.01}
    made.draw(Look())
    assert drawn[-1].axes[0].get_yscale() == "log"
    for epoch in results.curves["gated_large"]:
        epoch.weights = {"segmentation": 4.0, "depth": 4.0}
    assert "curves_weights" not in _own(results)


def test_figures_with_negative_weights_and_vanished_gradients(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    results.curves = {
        "hard": [Epoch(1, weights={"depth": -1.0, "normals": 3.0}, norms={"depth": 0.0, "normals": 2.0})],
    }
    made = _own(results)
    assert list(made) == ["curves_norms", "curves_weights"]
    for each in made.values():
        each.draw(Look())
    assert drawn[-1].axes[0].get_ylim()[0] < -0.5


def test_affinity_has_one_scale_for_all_models_and_leaves_the_diagonal_beyond_it(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.rows[1].affinity = {"normals": {"depth": 0.004, "normals": 0.3}, "depth": {"depth": 0.2, "normals": -0.01}}
    results.rows[2].affinity = {"depth": {"normals": 0.0012}, "helper": {"depth": math.nan}}
    results.rows[3].affinity = {"depth": {"normals": math.nan}}
    maps = interference_figures.affinity_maps(results)
    assert list(maps) == ["hard", "mtinet"]
    assert maps["hard"].limits == maps["mtinet"].limits == (-1.0, 1.0), "percent"
    assert maps["hard"].rows == maps["hard"].columns == ["depth", "normals"]
    np.testing.assert_allclose(maps["hard"].values, [[20.0, -1.0], [0.4, 30.0]])
    assert maps["mtinet"].rows == ["depth", "helper"]
    np.testing.assert_allclose(maps["mtinet"].values, [[math.nan, 0.12], [math.nan, math.nan]])
    assert [each.title for each in _own(results).values()] == ["Hard sharing", "MTI-Net"]


@given(st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_limits_around_zero_hold_all_values_and_are_not_far(values: list[float]) -> None:
    low, high = around_zero([values, [math.nan]])
    largest = max(map(abs, values), default=0.0)
    assert low == -high < 0
    if largest > 1e-12:
        assert largest <= high * 1.001
        assert high <= 2.6 * largest


def test_pairs_of_tasks_that_the_report_does_not_list_come_last(make_results: Make) -> None:
    results = make_results(pictures=False)
    assert pair_name(results, "helper", "depth") == "depth ~ helper"
    results.curves = {"hard": [Epoch(1, cosines={"helper~depth": 0.1, "normals~segmentation": 0.2})]}
    assert per_pair(results, "cosines") == {"hard": [(1, {"depth ~ helper": 0.1, "segmentation ~ normals": 0.2})]}


@pytest.mark.parametrize("narrow", [False, True])
def test_names_in_summaries_can_be_read(make_results: Make, drawn: list[Any], narrow: bool) -> None:
    results = add_interference(with_tasks(make_results(pictures=False), 7))
    for name in ("interference_conflicts", "interference_cosines"):
        _own(results)[name].draw(Look(narrow=narrow))
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


def test_dark_figures_are_the_light_ones_in_other_colours(make_results: Make) -> None:
    results = add_interference(with_tasks(make_results(pictures=False), 2))
    for history in results.curves.values():
        del history[4:]
    made = _own(results)
    names = re.compile(r"\b[mp][0-9a-f]{10}\b")  # matplotlib derives the names of shapes from their colours
    for name in ("curves_cosines", "curves_norms", "curves_weights"):
        light, dark = (made[name].draw(Look(theme, form="svg")) for theme in (LIGHT, DARK))
        assert names.sub("", _canvas.recolour(light).decode()) == names.sub("", dark.decode())
        assert light != dark


def test_the_section_stands_between_decisions_and_training(
    make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_canvas, "_PRINTED", 72)
    results = add_interference(with_tasks(make_results(pictures=False), 3))
    for history in results.curves.values():
        del history[3:]
    for row in results.rows:
        row.cost.deployed = type(row.cost.deployed)()
    page = write_report(results, tmp_path).read_text(encoding="utf-8")
    places = [page.index(f'<section id="{key}">') for key in ("results", "interference", "training", "cost")]
    assert places == sorted(places)
    assert "where the tasks' features part".replace("'", "&#x27;") in page
    assert page.count("Affinity: what a step for one task does to the others") == 1
    names = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert {"interference_conflicts.png", "curves_weights.png", "affinity_gated_large.png"} <= names


def test_without_records_there_is_no_section_and_affinity_alone_needs_no_word_of_gradients(
    make_results: Make, tmp_path: Path
) -> None:
    results = make_results(pictures=False)
    results.curves = {}
    for row in results.rows:
        row.cost.deployed = type(row.cost.deployed)()
    assert "How the tasks get on" not in render_page(results, tmp_path)
    results.rows[1].affinity = {"depth": {"normals": 0.1}}
    page = render_page(results, tmp_path)
    assert "How the tasks get on" in page
    assert "Gradients of the tasks" not in page


def test_a_training_step_is_held_against_plain_hard_sharing(
    make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "drawings", lambda _: [])
    results = make_results(pictures=False)
    assert step_table(results) is None
    assert "Training step" not in render_page(results, tmp_path)
    results.row("single").cost.step = StepCost(800.0, 8 * 2.0**20)
    results.row("mtinet").cost.step = StepCost(200.0, 2 * 2.0**20)
    results.row("gated_large").cost.step = StepCost(300.0, math.nan)
    assert step_baseline(results) is results.row("mtinet"), "the first one of those that were measured"
    table = step_table(results)
    assert isinstance(table, Markup)
    assert "400\u00a0%" in table
    assert "150\u00a0%" in table
    assert table.count("not measured") == 2 * 2 + 1
    assert "100\u00a0%" not in table, "the baseline needs none"
    assert "Percentages are of “MTI-Net”" in render_page(results, tmp_path)
    results.row("mtinet").cost.step = None
    assert step_baseline(results) is None
    assert "%" not in (step_table(results) or "")
