"""Layout of the page: nothing wider than the screen, pictures of one size, the same in both themes."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.integration.browser.conftest import Open

pytestmark = pytest.mark.slow

WIDTHS = (1280, 390)
BOXES = """() => [...document.querySelectorAll("main section, main figure, main table, main th, main td")]
  .map((each) => each.getBoundingClientRect()).map((box) => [box.x, box.y, box.width, box.height].map(Math.round))"""
SIZES = """() => [...document.querySelectorAll("table.grid")].filter((table) => table.offsetParent).map((table) =>
  [...table.tHead.rows[0].cells].map((_, column) => [...table.tBodies[0].rows]
    .map((row) => row.cells[column]?.querySelector(".zoom img")).filter(Boolean)
    .map((image) => [image.clientWidth, image.clientHeight].join("x"))))"""


def column_sizes(page: Page) -> list[set[str]]:
    """The sizes of the pictures of every column that has any, of every grid on view."""
    columns: list[list[list[str]]] = page.evaluate(SIZES)
    return [set(sizes) for table in columns for sizes in table if sizes]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_no_wider_than_the_screen(opened: Open, width: int, theme: str) -> None:
    page = opened(width, theme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.body.scrollWidth") == width


@pytest.mark.parametrize("width", WIDTHS)
def test_both_themes_lie_alike_in_other_colours(opened: Open, width: int) -> None:
    pages = [opened(width, theme) for theme in ("light", "dark")]
    light, dark = (page.evaluate(BOXES) for page in pages)
    assert light == dark
    assert len(light) > 100
    colours: list[Any] = [page.evaluate("getComputedStyle(document.body).backgroundColor") for page in pages]
    assert colours[0] != colours[1]
    charts = [page.locator(".chart img:visible").first for page in pages]
    sources = [chart.evaluate("(each) => each.currentSrc") for chart in charts]
    assert sources[0] != sources[1], "the figure of the theme is the one that is shown"
    assert all(page.locator(".chart img:visible").count() == page.locator(".chart:visible").count() for page in pages)


@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_of_a_column_have_one_size(opened: Open, width: int) -> None:
    page = opened(width)
    gallery = page.locator("[data-gallery]").first
    image, task = (gallery.locator(f"[data-menu={menu}]") for menu in ("image", "task"))
    for value in ("0", "3", "all"):
        image.select_option(value)
        sizes = column_sizes(page)
        assert sizes
        assert all(len(each) == 1 for each in sizes), (value, sizes)
    for value in ("0", "1", "2"):
        task.select_option(value)
        sizes = column_sizes(page)
        assert sizes
        assert all(len(each) == 1 for each in sizes), (value, sizes)


def test_the_tab_key_walks_the_page_in_its_order_and_reaches_everything(opened: Open) -> None:
    page = opened()
    reached: set[str] = set()
    page.evaluate("window.before = document.querySelector('h1')")
    for _ in range(page.locator("a, button, select, summary, [tabindex]").count() + 5):
        page.keyboard.press("Tab")
        name = page.evaluate("""() => {
          const now = document.activeElement;
          if (now === document.body) return "end";
          const after = window.before.compareDocumentPosition(now) & Node.DOCUMENT_POSITION_FOLLOWING;
          window.before = now;
          return after ? now.className || now.tagName : "backwards";
        }""")
        if name == "end":
            break
        reached.add(name)
    assert name == "end"
    assert "backwards" not in reached
    assert {"A", "SELECT", "SUMMARY", "sort", "zoom", "scroll", "scroll tall"} <= reached
