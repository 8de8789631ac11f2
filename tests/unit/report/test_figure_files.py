"""Figures as files that stand alone: SVG and PDF of everything that the page draws."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree  # our own files

import pytest

from frugalmtl.cli.main import main
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Curve, Heatmap
from frugalmtl.report import Cost, Results, save_results, write_figures
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.pictures import drawings

Make = Callable[..., Results]


@pytest.fixture
def results(make_results: Make) -> Results:
    """A comparison with two figures, a heat map and a curve."""
    results = make_results(pictures=False)
    results.curves, results.rows = {}, results.rows[:2]
    for row in results.rows:
        row.cost.deployed = Cost()
    results.rows[1].pictures = [Heatmap("own", "open gates", ["depth"], ["a.b", "c"], [[0.25, 0.75]])]
    lines = {"a": [(0.0, 0.5), (1.0, 1.0)]}
    results.rows[1].image_pictures.curves = [Curve("share", "Share", "budget", "score", lines)]
    return results


def test_svg_files_stand_alone(results: Results, tmp_path: Path) -> None:
    files = write_figures(results, tmp_path, tmp_path / "new" / "figures", "svg")
    assert [path.name for path in files] == ["decisions_hard_share.svg", "decisions_hard_own.svg"]
    assert sorted(tmp_path.rglob("*.svg")) == sorted(files)
    for path in files:
        text = path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)  # noqa: S314 - a file of ours
        assert root.tag.endswith("}svg")
        assert {"width", "height", "viewBox"} <= set(root.keys())
        assert "<text" not in text, "letters are shapes: no font has to be there"
        links = re.findall(r'href="([^"]*)"', text)
        assert links
        assert all(link.startswith(("#", "data:")) for link in links)
        assert "var(" not in text
    (_, heat_map) = drawings(results)
    assert files[1].read_bytes() == heat_map.draw(Look(form="svg"))
    assert files[1].read_bytes() != heat_map.draw(Look(form="svg", inline=True)), "a file has its title"


def test_pdf_files_hold_their_fonts_and_are_the_same_every_time(results: Results, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in write_figures(results, tmp_path, tmp_path / "one", "pdf")}
    second = {path.name: path.read_bytes() for path in write_figures(results, tmp_path, tmp_path / "two", "pdf")}
    assert first == second
    assert set(first) == {"decisions_hard_own.pdf", "decisions_hard_share.pdf"}
    for content in first.values():
        assert content.startswith(b"%PDF-")
        assert b"/FontFile2" in content
        assert b"/Type3" not in content, "publishers refuse such fonts"
        assert b"CreationDate" not in content


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_the_command_writes_them_beside_the_report_or_elsewhere(
    form: Literal["svg", "pdf"], results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_results(results, tmp_path / "results.json")
    assert main(["report", str(tmp_path), "--format", form]) == 0
    assert f"figures: 2 files in {tmp_path / 'figures'}" in capsys.readouterr().out.replace("\n", "")
    beside = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert set(beside) == {f"decisions_hard_own.{form}", f"decisions_hard_share.{form}"}
    assert main(["report", str(tmp_path), "--format", form, "--out", str(tmp_path / "paper")]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "paper").iterdir()} == beside
    assert not (tmp_path / "report.html").exists()


def test_a_comparison_without_figures_says_so(results: Results, tmp_path: Path) -> None:
    results.rows = results.rows[:1]
    results.rows[0].pictures = []
    with pytest.raises(UserError, match="has no figures"):
        write_figures(results, tmp_path, tmp_path / "figures", "svg")
    assert not (tmp_path / "figures").exists()
