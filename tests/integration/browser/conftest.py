"""Fixtures of the tests in Chromium: a report of everything that a page can hold, opened in a browser without a window.

What is seen is compared with facts of the layout and with the same page at another width, theme or medium. Pixels that
are kept in a file would differ with the fonts and the version of the browser, and say nothing of what went wrong.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from frugalmtl.core.types import Heatmap
from frugalmtl.report import Results, StepCost, make_panels, write_report
from frugalmtl.report.pictures import Drawing, drawings
from tests.support.report import add_curve, add_interference, build, room_tasks, samples

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIGURES = ("curves_loss", "decisions_hard_gates", "confusion_single_segmentation")
Open = Callable[..., Page]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium of this machine."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on this machine: install it with apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section: gaps, long names, upright and wide pictures, eleven rows."""
    folder = tmp_path_factory.mktemp("report")
    results = add_interference(build(folder, size=(72, 96)))
    results.panels += make_panels(samples((96, 72), count=1), room_tasks(), folder, stem="upright")
    add_curve(results)
    results.row("hard").title = "Hard sharing of everything but the heads, as it has always been"
    results.row("hard").budget = "0.4x"
    results.row("hard").pictures = [
        Heatmap(
            "gates",
            "open",
            ["depth", "normals"],
            [f"layer{n}.conv1" for n in range(20)],
            [[0.05 * n for n in range(20)]] * 2,
        )
    ]
    for scores in (results.row("mtinet").scores_mean, results.row("mtinet").scores_std):
        del scores["depth"]
    results.row("gated").cost.deployed.latency_ms.median = math.nan
    for place, row in enumerate(results.rows[:4]):
        row.cost.step = StepCost(median_ms=100.0 - 7 * place, memory=1e9)
        row.confusions = {"segmentation": [[9 if i == j else place + 1 for j in range(5)] for i in range(5)]}
    for task in results.tasks:
        task.legend = {"floor": "#4e79a7", "wall": "#f28e2b"} if task.name == "segmentation" else {}
        task.classes = ["floor", "wall", "bed", "chair", "table"] if task.name == "segmentation" else []

    def chosen(results: Results, folder: Path) -> list[Drawing]:
        return [each for each in drawings(results, folder) if each.name in FIGURES]  # one of a kind: drawing takes time

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("frugalmtl.report.write.drawings", chosen)
        return write_report(results, folder)


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Open]:
    """Opens the report; nothing that is done with it may write a message to the console."""
    messages: list[str] = []
    contexts = []

    def open_page(
        width: int = 1280, theme: Literal["light", "dark"] = "light", *, script: bool = True, **options: Any
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=theme, java_script_enabled=script, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("requestfailed", lambda request: messages.append(f"not loaded: {request.url[:80]}"))
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert messages == []
