"""Enlarged pictures: as wide as the screen, walked through by keys and buttons."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.integration.browser.conftest import Open

pytestmark = pytest.mark.slow

CHOSEN = ".panel[data-image='0'] tbody tr:nth-child(2) td[data-task='0'] .zoom"


def open_viewer(page: Page) -> None:
    page.locator(CHOSEN).first.click()
    assert page.evaluate("document.getElementById('viewer').open")


def captions(page: Page) -> list[str]:
    return page.locator("dialog figcaption").all_text_contents()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_viewer_is_as_wide_as_the_screen(opened: Open, width: int, theme: str) -> None:
    page = opened(width, theme)
    grid = page.locator(".panel[data-image='0'] .scroll").first.bounding_box()
    small = page.locator(f"{CHOSEN} img").first.bounding_box()
    open_viewer(page)
    viewer = page.locator("#viewer").bounding_box()
    assert viewer
    assert grid
    assert small
    assert viewer["width"] >= 0.95 * width > 0
    assert viewer["width"] >= grid["width"]
    assert page.evaluate("document.querySelector('.views').scrollWidth <= document.querySelector('.views').clientWidth")
    images = [box for image in page.locator("dialog img").all() if (box := image.bounding_box())]
    assert len(images) == 3, "input, label and prediction"
    assert all(box["width"] > 1.5 * small["width"] for box in images)
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in images)
    row = sum(box["width"] for box in images if abs(box["y"] - images[0]["y"]) < 1)
    assert row >= 0.9 * width, "the pictures take the width"
    for name in ("Previous", "Next", "Close"):
        box = page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box
        assert 0 <= box["y"] <= box["y"] + box["height"] <= 800, "the buttons stay in sight"


def test_one_picture_alone_is_as_large_as_the_screen_takes(opened: Open) -> None:
    page = opened()
    page.locator(".panel[data-image='0'] > figure .zoom").first.click()
    assert captions(page) == ["input image, room 1"]
    box = page.locator("dialog img").bounding_box()
    assert box
    assert box["width"] >= 0.95 * 1280
    assert box["height"] >= 0.75 * 800
    assert box["y"] + box["height"] <= 800


def test_keys_and_buttons_walk_through_the_pictures_on_view(opened: Open) -> None:
    page = opened()
    open_viewer(page)
    first = captions(page)
    assert [words.split(",")[0] for words in first] == ["input image", "segmentation", "segmentation"]
    page.keyboard.press("ArrowRight")
    second = captions(page)
    assert [words.split(",")[0] for words in second] == ["input image", "depth", "depth"]
    page.get_by_role("button", name="Previous").click()
    assert captions(page) == first
    page.get_by_role("button", name="Next").click()
    assert captions(page) == second
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('viewer').open")
    focus = page.evaluate("document.activeElement.dataset.caption")
    assert focus == second[-1], "the focus is on the picture that was seen last"
