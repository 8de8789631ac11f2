"""Sections of the page: one file each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from frugalmtl.report import Results, sections
from tests.support.report import page_of

Make = Callable[..., Results]


def test_a_new_file_is_a_new_section(make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_section.py").write_text(
        '''
from markupsafe import Markup
from frugalmtl.report.sections.base import Section

class Toy(Section):
    """A greeting."""

    title = "A <new> section"
    order = 75

    def render(self, page):
        return Markup("<p>Hello, {}.</p>").format(page.results.name)
'''
    )
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    results = make_results(pictures=False)
    results.name = "<b>rooms</b>"
    page = page_of(results, tmp_path, figures=False)
    places = [page.index(f'<section id="{name}">') for name in ("results", "toy_section", "cost")]
    assert places == sorted(places)
    assert "<h2>A &lt;new&gt; section</h2>" in page
    assert '<a href="#toy_section">A &lt;new&gt; section</a>' in page
    assert "<p>Hello, &lt;b&gt;rooms&lt;/b&gt;.</p>" in page


def test_sections_have_places_of_their_own() -> None:
    orders = [section.order for section in sections.sections()]
    assert len(orders) == 11
    assert len(set(orders)) == len(orders)
