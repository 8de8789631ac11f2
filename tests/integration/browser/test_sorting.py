"""Sorting: by every head, missing numbers last, the order as written again, by keyboard, and a page without scripts."""

from __future__ import annotations

import math

import pytest
from playwright.sync_api import Page

from tests.integration.browser.conftest import Open

pytestmark = pytest.mark.slow

RESULTS = "table.results"


def names(page: Page, table: str = RESULTS) -> list[str]:
    return page.locator(f"{table} tbody:first-of-type tr th.name .row > span:nth-child(2)").all_text_contents()


def first_words(page: Page) -> list[str]:
    return [name.split()[0].strip(",") for name in names(page)]


def numbers(page: Page, column: int) -> list[float]:
    """The values of a column of the measured rows, NaN where there are none."""
    values: list[str | None] = page.evaluate(
        """([table, column]) => [...document.querySelector(table).tBodies[0].rows]
          .map((row) => row.querySelectorAll("td.num")[column].dataset.value ?? null)""",
        [RESULTS, column],
    )
    return [math.nan if value is None else float(value) for value in values]


def test_every_head_sorts_both_ways_and_restores(opened: Open) -> None:
    page = opened()
    written = names(page)
    heads = page.locator(f"{RESULTS} thead th.num")
    assert heads.count() > 8
    gaps = 0
    for column in range(heads.count()):
        head, before = heads.nth(column), numbers(page, column)
        finite = sorted(value for value in before if math.isfinite(value))
        gaps += missing if (missing := len(before) - len(finite)) < len(before) else 0
        orders = [head.get_attribute("data-first")]
        orders.append("descending" if orders[0] == "ascending" else "ascending")
        for order in orders:
            head.get_by_role("button").click()
            assert head.get_attribute("aria-sort") == order
            assert page.locator(f"{RESULTS} [aria-sort]").count() == 1
            values = numbers(page, column)
            assert values[: len(finite)] == (finite if order == "ascending" else finite[::-1])
            assert all(map(math.isnan, values[len(finite) :])), "missing numbers stand last"
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") is None
        assert names(page) == written
    assert gaps, "some number was missing"


def test_the_best_comes_first(opened: Open) -> None:
    page = opened()
    page.locator(f"{RESULTS} thead th.num", has_text="segmentation").get_by_role("button").click()
    assert (
        page.locator(f"{RESULTS} tbody:first-of-type tr:first-child td.num").first.get_attribute("class") == "num best"
    )
    assert numbers(page, 0)[0] == max(numbers(page, 0))
    page.locator(f"{RESULTS} thead th.num", has_text="MACs").get_by_role("button").click()
    column = (
        page.locator(f"{RESULTS} thead th.num")
        .all_text_contents()
        .index(page.locator(f"{RESULTS} thead th.num", has_text="MACs").text_content() or "")
    )
    assert numbers(page, column)[0] == min(numbers(page, column))


def test_names_sort_and_published_rows_stay_below(opened: Open) -> None:
    page = opened()
    page.locator(f"{RESULTS} thead th.name").get_by_role("button").click()
    assert first_words(page) == sorted(first_words(page))
    last = page.locator(f"{RESULTS} tbody:last-of-type tr")
    assert "Published figures" in (last.first.text_content() or "")
    assert last.count() == 2


def test_the_keyboard_sorts(opened: Open) -> None:
    page = opened()
    words = first_words(page)
    assert words != sorted(words)
    button = page.locator(f"{RESULTS} thead th.name").get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    assert first_words(page) == sorted(words)
    page.keyboard.press("Space")
    assert first_words(page) == sorted(words, reverse=True)
    assert button.evaluate("(each) => each === document.activeElement"), "the focus stays"


def test_lines_of_a_model_stay_together(opened: Open) -> None:
    page = opened()
    groups = page.locator("table.cost tbody")
    before = [group.text_content() for group in groups.all()]
    page.locator("table.cost thead th.num", has_text="MACs").get_by_role("button").click()
    after = [group.text_content() for group in groups.all()]
    assert sorted(map(str, after)) == sorted(map(str, before))
    assert after != before
    deployed = [
        float(row.get_attribute("data-value") or "nan")
        for row in page.locator("table.cost tr[data-key] td.num:nth-of-type(1)").all()
    ]
    assert deployed == sorted(deployed)
    assert len(deployed) == len(before)


def test_without_scripts_everything_is_on_the_page(opened: Open) -> None:
    scripted, plain = opened(), opened(script=False)
    assert names(plain) == names(scripted)
    assert plain.locator(".sort").count() == 0
    assert plain.locator("[data-scripted]:visible").count() == 0
    assert scripted.locator("[data-scripted]:visible").count() == 1
    assert plain.locator(".menus:visible").count() == 0
    assert plain.locator("table.grid:visible").count() == plain.locator("table.grid").count() == 6
    assert scripted.locator("table.grid:visible").count() == 2
