"""The written report: well-formed, self-contained, safe, complete."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Heatmap
from frugalmtl.report import Results, page, write_report
from frugalmtl.report.columns import columns
from tests.support.html import Reader

Make = Callable[..., Results]


def _read(results: Results, folder: Path) -> Reader:
    return Reader(write_report(results, folder).read_text(encoding="utf-8"))


@pytest.mark.usefixtures("quick")
def test_sections_stand_in_order_and_hold_the_numbers(make_results: Make, tmp_path: Path) -> None:
    results = make_results()
    reader = _read(results, tmp_path)
    order = ["results", "tradeoff", "panels", "photos", "training", "cost", "runs", "method"]
    assert [each for each in reader.ids() if each in order] == order
    assert len(set(reader.ids())) == len(reader.ids())
    for row in results.rows:
        assert row.label in reader.text
        assert f"{row.scores_mean['depth']['rmse']:.4f}" in reader.text
        assert f"{row.cost.deployed.macs / 1e9:.2f}" in reader.text
    for words in (
        "Author et al. 2021, Table 3",
        "published",
        "max_f 0.7",
        "lr: 0.0001",
        "commit: 0123abc",
        "1 h 11 min",
    ):
        assert words in reader.text
    for fact in (results.protocol.hardware, results.protocol.flop_convention, results.protocol.notes[0], "480 × 640"):
        assert fact in reader.text


def test_real_figures_stand_in_the_page_and_in_files(make_results: Make, tmp_path: Path) -> None:
    results = make_results(pictures=False)
    results.curves = {}
    for row in results.rows:
        row.cost.deployed.latency_ms.median = math.nan
    reader = _read(results, tmp_path)
    charts = [dict(attributes) for name, attributes in reader.elements if name == "source"]
    assert len(charts) == 2 * 2
    assert all((chart["srcset"] or "").startswith("data:image/svg+xml;base64,") for chart in charts)
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {"delta_macs.png", "metrics_macs.png"}


@pytest.mark.usefixtures("quick")
def test_nothing_is_loaded_from_elsewhere(make_results: Make, tmp_path: Path) -> None:
    results = make_results()
    results.published[0].source = "https://example.org/paper"
    path = write_report(results, tmp_path)
    reader = Reader(path.read_text(encoding="utf-8"))
    for name, attributes in reader.elements:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            address = attributes.get(key)
            assert address is None or address.startswith(("data:", "#")), (name, key)
    assert "<script src" not in path.read_text()
    for sheet in sorted((Path(page.__file__).parent / "templates" / "assets").glob("*.css")):
        css = sheet.read_text()
        assert css in path.read_text()
        assert "url(" not in css
        assert "@import" not in css
    policy = next(a["content"] for n, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy


@pytest.mark.usefixtures("quick")
def test_names_cannot_become_markup(make_results: Make, tmp_path: Path) -> None:
    results = make_results()
    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"
    results.name = results.rows[1].title = results.published[0].title = results.protocol.dataset = evil
    results.rows[1].config = {evil: evil}
    results.panels[0].name = evil
    words = results.panels[0].labels["classification"].words
    assert words
    words[0].text = evil
    reader = _read(results, tmp_path)
    assert [name for name, _ in reader.elements].count("script") == 1
    assert not any("onerror" in attributes for _, attributes in reader.elements)
    assert evil in "".join(reader.words)


@pytest.mark.usefixtures("quick")
def test_gaps_are_shown_as_gaps(make_results: Make, tmp_path: Path) -> None:
    results = make_results(seeds=1)
    results.published, results.photos, results.curves = [], [], {}
    del results.rows[2].scores_mean["depth"]
    results.rows[3].scores_mean["normals"]["mean"] = math.nan
    del results.panels[0].predictions["hard"]["depth"]
    del results.panels[1].predictions["gated"]
    reader = _read(results, tmp_path)
    assert "photos" not in reader.ids()
    assert "published" not in reader.text.lower()
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan[a-z]*", "", reader.text.lower())
    assert "no prediction" in reader.text
    assert "no label" in reader.text
    missing = sum(attributes.get("title") == "not measured" for _, attributes in reader.elements)
    assert missing == 2 + 3, "in the results, and among all metrics"


@pytest.mark.usefixtures("quick")
def test_cells_hold_the_numbers_that_they_are_sorted_by(make_results: Make, tmp_path: Path) -> None:
    results = make_results(pictures=False)
    del results.rows[2].scores_mean["depth"]
    reader = _read(results, tmp_path)
    cells = [attributes for name, attributes in reader.elements if name == "td"]
    cells = [attributes for attributes in cells if (attributes.get("class") or "").startswith("num")]
    measured = columns(results)
    place = [column.key for column in measured].index("depth")
    values = [cell.get("data-value") for cell in cells[place : len(measured) * len(results.rows) : len(measured)]]
    means = [row.scores_mean.get("depth", {}).get("rmse") for row in results.rows]
    assert [None if value is None else float(value) for value in values] == means
    assert means[2] is None
    heads = [attributes for name, attributes in reader.elements if name == "th" and "data-sort" in attributes]
    first = {column.name: "descending" if column.higher_is_better else "ascending" for column in measured}
    assert [head.get("data-first") for head in heads[1 : len(measured) + 1]] == list(first.values())
    hints = [attributes for _, attributes in reader.elements if "data-scripted" in attributes]
    assert hints
    assert all("hidden" in attributes for attributes in hints), "without the script nothing sorts"


@pytest.mark.usefixtures("quick")
def test_a_bare_comparison_makes_a_page(make_results: Make, tmp_path: Path) -> None:
    results = make_results(pictures=False)
    results.rows = [type(row)(row.name) for row in results.rows[:1]]
    results.curves, results.published = {}, []
    assert "nothing to compare" in _read(results, tmp_path).text


@pytest.mark.usefixtures("quick")
def test_a_missing_picture_is_found_before_anything_is_written(make_results: Make, tmp_path: Path) -> None:
    results = make_results()
    (tmp_path / results.panels[0].image).unlink()
    with pytest.raises(UserError, match="does not exist"):
        write_report(results, tmp_path)
    assert not (tmp_path / "results.json").exists()
    (tmp_path / results.panels[0].image).write_text("not a picture")
    with pytest.raises(UserError, match="is not an image"):
        write_report(results, tmp_path)


@pytest.mark.usefixtures("quick")
def test_a_report_can_be_written_again_from_its_own_file(make_results: Make, tmp_path: Path) -> None:
    first = write_report(make_results(), tmp_path).read_bytes()
    results = Results.from_json((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert write_report(results, tmp_path).read_bytes() == first


def test_decisions_stand_in_a_section_of_their_own_without_markup(make_results: Make, tmp_path: Path) -> None:
    results = make_results(pictures=False)
    results.curves = {}
    for row in results.rows:
        row.cost.deployed = type(row.cost.deployed)()
    evil = '"><script>alert(1)</script>'
    for row in results.rows[1:3]:
        row.pictures = [Heatmap("own", evil, [evil], [evil, "b"], [[0.25, 0.75]], evil)]
    reader = _read(results, tmp_path)
    assert "decisions" in reader.ids()
    assert [name for name, _ in reader.elements].count("script") == 1
    assert "".join(reader.words).count(evil) == 4, "title and caption, twice"
    images = [attributes["alt"] or "" for name, attributes in reader.elements if name == "img"]
    assert [f"{evil} 0.50 (0.25 to 0.75)" in alt for alt in images] == [True] * 4, "twice a figure, one of them on view"
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {
        "decisions_hard_own.png",
        "decisions_mtinet_own.png",
    }
    results.rows[1].pictures = results.rows[2].pictures = []
    assert "decisions" not in _read(results, tmp_path).ids()
