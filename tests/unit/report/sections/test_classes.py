"""The section on single classes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.report import Results
from frugalmtl.report.pictures import drawings
from frugalmtl.report.sections.classes import class_tables
from tests.support.report import page_of

Make = Callable[..., Results]
CLASSES = ["floor", "wall", "<b>bed", "chair"]
COUNTS = [[90, 6, 4, 0], [20, 75, 5, 0], [10, 10, 30, 0], [0, 0, 0, 0]]


@pytest.fixture
def results(make_results: Make) -> Results:
    results = make_results(pictures=False)
    results.curves = {}
    results.tasks[0].classes = CLASSES
    for row in results.rows[:2]:
        row.confusions = {"segmentation": COUNTS}
    return results


def test_iou_of_every_class_is_a_table_of_the_rows_that_counted(results: Results, tmp_path: Path) -> None:
    (table,) = class_tables(results)
    assert list(table.lines) == [row.name for row in results.rows[:2]]
    assert table.lines["single"][:3] == pytest.approx([90 / 130, 75 / 116, 30 / 59])
    page = page_of(results, tmp_path, figures=False)
    section = page[page.index('<section id="classes">') :].split("</section>")[0]
    cells = re.findall(r'<td class="num" data-value="([^"]*)">([^<]*)</td>', section)
    assert [text for _, text in cells[:3]] == ["0.692", "0.647", "0.508"]
    assert [float(value) for value, _ in cells[:3]] == table.lines["single"][:3]
    assert '<td class="num">–</td>' in section
    assert "&lt;b&gt;bed" in section
    assert "<b>bed" not in section


def test_every_row_has_a_heat_map_of_what_is_taken_for_what(results: Results) -> None:
    maps = [each for each in drawings(results) if each.section == "classes"]
    assert [(each.name, each.row) for each in maps] == [
        ("confusion_single_segmentation", "single"),
        ("confusion_hard_segmentation", "hard"),
    ]
    assert "floor 90 % right, else mostly wall (6 %)" in maps[0].text


def test_without_counts_there_is_no_section(make_results: Make, tmp_path: Path) -> None:
    assert '<section id="classes">' not in page_of(make_results(pictures=False), tmp_path, figures=False)


@pytest.mark.parametrize("counts", [COUNTS[:3], [[1, 2], [3, 4]], [[-1] * 4] * 4])
def test_a_matrix_of_other_classes_is_refused(results: Results, counts: list[list[int]]) -> None:
    results.rows[0].confusions = {"segmentation": counts}
    with pytest.raises(UserError, match="confusion matrix of task 'segmentation' of row 'single' must hold counts"):
        results.check()


def test_the_file_of_results_keeps_them(results: Results) -> None:
    again = Results.from_json(results.to_json())
    assert again.rows[0].confusions == {"segmentation": COUNTS}
    assert again.tasks[0].classes == CLASSES
