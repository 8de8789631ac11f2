"""Tables as spreadsheets write them, and mistakes with line and task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.data.attribute_table import AttributeTable
from frugalmtl.data.problems import BadFileError
from frugalmtl.tasks.classification import classification

WEATHER = replace(classification(classes=["wet", "dark"]), name="weather")
PLACE = replace(classification(classes=["indoor", "outdoor"], exclusive=True), name="place")


def table(root: Path, text: str, encoding: str = "utf-8", task: object = WEATHER) -> AttributeTable:
    file = root / "table.csv"
    file.write_bytes(text.encode(encoding))
    return AttributeTable(file, task)  # type: ignore[arg-type]  # one of the two above


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_separators_and_encodings_of_spreadsheets_are_read(tmp_path: Path, separator: str, encoding: str) -> None:
    text = 'id, wet ,dark,note\r\n"one",1,FALSE,"a, b; c"\r\n\r\n,,,\r\ntwo ,,yes,\r\n'
    quoted = '"a, b; c"'
    lines = text.replace(quoted, "\0").replace(",", separator).replace("\0", quoted)
    rows = table(tmp_path, lines, encoding)
    assert rows.read("one").tolist() == [1.0, 0.0]
    assert rows.read("two").tolist() == [255.0, 1.0]
    assert list(rows.rows) == ["one", "two"]
    assert rows.rows["one"].cells["note"] == "a, b; c"


def test_a_spreadsheet_may_name_its_separator(tmp_path: Path) -> None:
    rows = table(tmp_path, "sep=;\r\nid;wet;dark\r\none;1;0\r\none;0;0\r\n".replace("one;0;0\r\n", ""))
    assert rows.read("one").tolist() == [1.0, 0.0]
    assert rows.rows["one"].line == 3


def test_a_row_without_a_filled_cell_is_no_label(tmp_path: Path) -> None:
    rows = table(tmp_path, "id,wet,dark\none,,\ntwo,1,\n")
    assert [rows.labels(name) for name in ("one", "two", "three")] == [False, True, False]
    assert rows.read("three") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,wett,dark\none,1,0\n",
            r"task 'weather'.*lacks the column wet.*did you mean 'wett'",
        ),
        ("name,wet,dark\none,1,0\n", "task 'weather'.*lacks the column id"),
        ("", "lacks the column id, wet, dark: it has none"),
        ("id,wet,dark\none,1,0\n\none,0,0\n", "task 'weather'.*line 4: the id 'one' stands there twice .line 2 too"),
        ("id,wet,dark\none,1,0\n\ntwo,1\n", "task 'weather'.*line 4: 2 of the 3 cells of a row"),
        ("id,wet,dark,,\none,1\n", "line 2: 2 of the 3 cells of a row"),
        ("id,wet,dark,note\none,1,0\n", "line 2: 3 of the 4 cells of a row"),
        ("id,wet,dark\none,1,0,1\n", "task 'weather'.*line 2: 4 cells, but the table has 3 columns"),
    ],
)
def test_a_table_that_does_not_fit_names_its_task_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        table(tmp_path, text)


def test_an_unknown_class_names_line_task_and_the_nearest(tmp_path: Path) -> None:
    rows = table(tmp_path, "id,class\none,indoor\ntwo,outdor\n", task=PLACE)
    with pytest.raises(BadFileError) as caught:
        rows.read("two")
    assert "line 3 holds 'outdor' for id 'two'" in str(caught.value)
    assert "task 'place'" in str(caught.value)
    assert "did you mean 'outdoor'?" in str(caught.value)


def test_blank_rows_and_columns_without_a_name_are_passed_over(tmp_path: Path) -> None:
    rows = table(tmp_path, "id,wet,dark,,\none,1,0\n\n,,\n,\ntwo,0,1,,\n")
    assert rows.read("one").tolist() == [1.0, 0.0]
    assert list(rows.rows) == ["one", "two"]


def test_a_cell_that_is_refused_is_answered_with_all_that_are_taken(tmp_path: Path) -> None:
    with pytest.raises(BadFileError) as caught:
        table(tmp_path, "id,wet,dark\none,maybe,0\n").read("one")
    expected = caught.value.problem.expected
    assert expected == "1, true, yes (it is so), 0, false, no, -1 (it is not) or nothing (no label)"
    for cell in ("1", "true", "yes", "0", "false", "no", "-1", ""):
        assert table(tmp_path, f"id,wet,dark\none,{cell},0\n").read("one") is not None
