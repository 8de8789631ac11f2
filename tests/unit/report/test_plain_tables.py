"""Results table as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from frugalmtl.cli.main import main
from frugalmtl.report import Results, save_results
from frugalmtl.report.columns import columns
from frugalmtl.report.plain_tables import FORMATS, as_csv, as_latex, as_markdown

Make = Callable[..., Results]
HOSTILE = r"50 % of **a|b** & {c}_d $x$ \e #1 <b> `f` ~ ^"


def test_csv_holds_every_number_in_the_units_of_its_head(make_results: Make) -> None:
    results = make_results(pictures=False)
    lines = list(csv.DictReader(io.StringIO(as_csv(results))))
    assert [line["model"] for line in lines] == [row.label for row in results.rows]
    for column in columns(results):
        head = " ".join(filter(None, (column.title, column.unit and f"[{column.unit}]")))
        for row, line in zip(results.rows, lines, strict=True):
            entry = column.entries[row.name]
            for key, value in ((head, entry.value), (f"{head} std", entry.deviation)):
                if math.isfinite(value):
                    assert float(line[key]) == pytest.approx(value / column.scale, rel=1e-5)
                else:
                    assert line[key] == ""


def test_markdown_is_a_table_of_as_many_cells_in_every_line(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.rows[1].title = HOSTILE
    lines = as_markdown(results).splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(line) for line in cells} == {1 + len(columns(results))}
    assert set(cells[1][1:]) == {" ---: "}
    assert cells[3][0].strip() == HOSTILE.translate({ord(mark): f"\\{mark}" for mark in "\\|*_`<[]"})
    assert [line[0].strip().endswith("(reference)") for line in cells[2:]] == [
        row.name == results.reference for row in results.rows
    ]
    for place, column in enumerate(columns(results), start=1):
        for row, line in zip(results.rows, cells[2:], strict=True):
            assert ("**" in line[place]) == column.entries[row.name].best


def test_latex_takes_every_name_as_it_stands(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.rows[1].title = HOSTILE
    text = as_latex(results)
    assert text.startswith("\\begin{tabular}{l" + "r" * len(columns(results)) + "}\n\\toprule\n")
    body = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(columns(results))}
    wanted = r"50 \% of **a|b** \& \{c\}\_d \$x\$ \textbackslash{}e \#1 <b> `f` \textasciitilde{} \textasciicircum{} & "
    assert body[2].startswith(wanted)
    assert text.isascii()


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_command_prints_or_writes_a_table(
    form: str, make_results: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = make_results(pictures=False)
    save_results(results, tmp_path / "results.json")
    assert main(["report", str(tmp_path), "--format", form]) == 0
    printed = capsys.readouterr().out
    assert printed == FORMATS[form](results)
    assert main(["report", str(tmp_path), "--format", form, "--out", str(tmp_path / "table.txt")]) == 0
    assert (tmp_path / "table.txt").read_text(encoding="utf-8") == printed


def test_the_command_shows_the_table_of_the_terminal(
    make_results: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_results(make_results(pictures=False), tmp_path / "results.json")
    assert main(["report", str(tmp_path)]) == 0
    assert "reference of Δ_MTL" in capsys.readouterr().out
    assert main(["report", str(tmp_path), "--out", "table.csv"]) == 2
    assert "--out takes a table or figures: add --format csv, latex, markdown, pdf, png, svg" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "results.json" in capsys.readouterr().err
