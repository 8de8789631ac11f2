"""The page: well-formed, self-contained, safe, complete."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Heatmap
from frugalmtl.report import Results, write_report
from frugalmtl.report import page as page_module
from frugalmtl.report._embedding import embed
from frugalmtl.report._html import join, tag
from frugalmtl.report.figures import Drawing, Look

Make = Callable[..., Results]
EMPTY = {"img", "meta", "link", "br", "source", "hr"}


class Reader(HTMLParser):
    """Collects elements and text and insists that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are tested on their own; here a tiny stand-in is enough."""

    def stand_in(_results: Results) -> list[Drawing]:
        def draw(_look: Look) -> bytes:
            return b"<svg/>"

        return [
            Drawing("delta_macs", "delta", "words", draw),
            Drawing("curves_loss", "loss", "words", draw, section="training"),
        ]

    monkeypatch.setattr(page_module, "drawings", stand_in)
    monkeypatch.setattr("frugalmtl.report.write.drawings", stand_in)


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
    assert len(charts) == 2 * 3
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
    css = (Path(page_module.__file__).parent / "page.css").read_text()
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
    assert sum(attributes.get("title") == "not measured" for _, attributes in reader.elements) == 2


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
    with pytest.raises(UserError, match="cannot read picture"):
        write_report(results, tmp_path)


@pytest.mark.usefixtures("quick")
def test_a_report_can_be_written_again_from_its_own_file(make_results: Make, tmp_path: Path) -> None:
    first = write_report(make_results(), tmp_path).read_bytes()
    results = Results.from_json((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert write_report(results, tmp_path).read_bytes() == first


def test_pictures_shrink_to_the_budget_and_keep_their_colours(tmp_path: Path) -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[:, 200:] = (250, 120, 10)
    Image.fromarray(picture).save(tmp_path / "map.png")
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    large = embed(["map.png", "photo.png"], tmp_path, {"photo.png"}, 10_000_000)
    small = embed(["map.png", "photo.png"], tmp_path, {"photo.png"}, 40_000)
    assert sum(map(len, small.values())) <= 40_000 < sum(map(len, large.values()))
    assert large["map.png"].startswith("data:image/png")
    assert large["photo.png"].startswith("data:image/jpeg")


def test_elements_escape_and_leave_out() -> None:
    assert tag("a", "<", href='"', hidden=True, title=None, class_="x") == '<a href="&quot;" hidden class="x">&lt;</a>'
    assert join(["&", None, tag("br")]) == "&amp;<br>"


@pytest.mark.usefixtures("quick")
def test_the_cost_table_says_what_deploying_saved_and_only_where_it_did(make_results: Make, tmp_path: Path) -> None:
    results = make_results(pictures=False)
    for row in results.rows[1:]:
        row.cost.training = row.cost.deployed
    results.rows[0].cost.training.macs = 4 * results.rows[0].cost.deployed.macs
    results.rows[0].cost.training.flops = 0.0
    text = _read(results, tmp_path).text
    assert text.count("saved by deploying") == 1
    assert "saved by deploying75 %" in text
    assert text.count("of the reference") >= len(results.rows)


@pytest.mark.usefixtures("quick")
def test_colours_are_explained_and_cannot_smuggle_style(make_results: Make, tmp_path: Path) -> None:
    results = make_results()
    first, second = results.tasks[:2]
    first.legend = {"wall": "#4e79a7", "<b>floor</b>": "red; background-image:url(evil)"}
    second.reads = "bright is near"
    page = page_module.render_page(results, tmp_path)
    assert "What the colours mean" in page
    assert "background:#4e79a7" in page
    assert "bright is near" in page
    assert "evil" not in page
    assert "<b>floor" not in page


@pytest.mark.usefixtures("quick")
def test_budgets_and_spread_of_costs_stand_in_the_tables(make_results: Make, tmp_path: Path) -> None:
    results = make_results(pictures=False)
    assert "udget" not in _read(results, tmp_path).text
    row = results.row("gated")
    row.budget, row.target_macs = "<b>0.4x</b>", 27.0e9
    for seed, macs in zip(row.seeds, (27.2e9, 26.1e9, 27.0e9), strict=True):
        seed.macs = macs
    text = _read(results, tmp_path).text
    assert "<b>0.4x</b>off by −3.3 %" in text
    assert text.count("± 0.59") == 2, "results and cost"
    assert "What the whole deployed model was asked to cost" in text


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
    assert [f"{evil} 0.50 (0.25 to 0.75)" in alt for alt in images] == [True, True]
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {
        "decisions_hard_own.png",
        "decisions_mtinet_own.png",
    }
    results.rows[1].pictures = results.rows[2].pictures = []
    assert "decisions" not in _read(results, tmp_path).ids()
