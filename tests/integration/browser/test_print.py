"""Print: every row and column of the screen, figures whole, black on white whatever the theme."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.integration.browser.conftest import Open

pytestmark = pytest.mark.slow

PAPERS = {"A4 upright": 703, "A4 across": 1032, "Letter upright": 725}
"""Widths between margins of 12 mm, in CSS pixels."""
ROWS = "() => [...document.querySelectorAll('tbody tr')].filter((row) => row.getClientRects().length).length"


def printed(page: Page) -> Page:
    page.emulate_media(media="print")
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", PAPERS.values(), ids=list(PAPERS))
def test_nothing_is_covered_or_cut_off(opened: Open, width: int, theme: str) -> None:
    page = opened(width, theme)
    rows = page.evaluate(ROWS)
    printed(page)
    assert page.evaluate(ROWS) == rows > 30
    assert page.evaluate("document.documentElement.scrollWidth") == width
    cut: list[Any] = page.evaluate(
        """(width) => [...document.querySelectorAll("main table")].filter((table) => table.offsetParent)
          .map((table) => [table.className, table.getBoundingClientRect().right])
          .filter(([, right]) => right > width)""",
        width,
    )
    assert cut == []
    stuck: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("main *")].map((each) => getComputedStyle(each).position)
          .filter((position) => position === "sticky" || position === "fixed")"""
    )
    assert stuck == [], "nothing follows the page"
    covered: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("main table")].filter((table) => table.offsetParent && table.tHead)
          .filter((table) => [...table.tBodies].some((body) =>
            body.getBoundingClientRect().top < table.tHead.getBoundingClientRect().bottom - 1))
          .map((table) => table.className)"""
    )
    assert covered == []
    hidden: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".scroll")].filter((each) => each.offsetParent)
          .filter((each) => each.scrollHeight > each.clientHeight + 1 || each.scrollWidth > each.clientWidth + 1)
          .map((each) => each.getAttribute("aria-label"))"""
    )
    assert hidden == [], "nothing has to be scrolled"


def test_numbers_are_not_broken(opened: Open) -> None:
    page = printed(opened(PAPERS["A4 upright"]))
    broken: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".results td.num > :first-child")].filter((each) => {
          const range = document.createRange();
          range.selectNodeContents(each);
          return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1;
        }).map((each) => each.textContent)"""
    )
    assert broken == []
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.results')).fontSize)")
    assert size >= 7, "letters that can be read"


def test_figures_and_rows_are_not_divided_between_pages(opened: Open) -> None:
    page = printed(opened(PAPERS["A4 upright"]))
    for element in ("tr", ".chart", "figure"):
        assert page.locator(element).first.evaluate("(each) => getComputedStyle(each).breakInside") == "avoid"
    tallest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.chart')].map((each) => each.getBoundingClientRect().height))"
    )
    assert 0 < tallest < 1030, "a figure fits on a page of A4"


def test_paper_is_white_and_takes_the_figures_of_the_light_theme(opened: Open) -> None:
    pages = [printed(opened(1032, theme)) for theme in ("light", "dark")]
    looks = [
        page.evaluate(
            """() => [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor,
              [...document.querySelectorAll(".chart img")].find((each) => each.offsetParent).currentSrc,
              getComputedStyle(document.querySelector("td")).color]"""
        )
        for page in pages
    ]
    assert looks[0] == looks[1]
    narrow = printed(opened(390, "dark"))
    assert narrow.locator(".chart img:visible").first.get_attribute("src") == looks[0][2]
    assert narrow.locator(".chart img:visible").count() == narrow.locator(".chart:visible").count()


def test_a_sorted_table_is_printed_as_it_is_seen(opened: Open) -> None:
    page = opened()
    page.locator(".results thead th.name").get_by_role("button").click()
    seen = page.locator(".results tbody").all_text_contents()
    assert printed(page).locator(".results tbody").all_text_contents() == seen
    file = page.pdf(prefer_css_page_size=True)
    assert file.startswith(b"%PDF")
    assert file.count(b"/Type /Page\n") + file.count(b"/Type /Page ") > 1
