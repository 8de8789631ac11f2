"""The section on cost: saving by deploying, training steps, budgets."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from frugalmtl.report import Latency, Results, StepCost
from frugalmtl.report.columns import step_baseline
from tests.support.html import Reader
from tests.support.report import page_of

Make = Callable[..., Results]


def test_the_cost_table_says_what_deploying_saved_and_only_where_it_did(make_results: Make, tmp_path: Path) -> None:
    results = make_results(pictures=False)
    for row in results.rows[1:]:
        row.cost.training = row.cost.deployed
    results.rows[0].cost.training.macs = 4 * results.rows[0].cost.deployed.macs
    results.rows[0].cost.training.flops = 0.0
    text = Reader(page_of(results, tmp_path, figures=False)).text
    assert text.count("saved by deploying") == 1
    assert "saved by deploying75 %" in text
    assert text.count("of the reference") >= len(results.rows)


def test_budgets_and_spread_of_costs_stand_in_the_tables(make_results: Make, tmp_path: Path) -> None:
    results = make_results(pictures=False)
    assert "udget" not in Reader(page_of(results, tmp_path, figures=False)).text
    row = results.row("gated")
    row.budget, row.target_macs = "<b>0.4x</b>", 27.0e9
    for seed, macs in zip(row.seeds, (27.2e9, 26.1e9, 27.0e9), strict=True):
        seed.macs = macs
    text = Reader(page_of(results, tmp_path, figures=False)).text
    assert "<b>0.4x</b>off by −3.3 %" in text
    assert text.count("± 0.59") == 2, "results and cost"
    assert "What the whole deployed model was asked to cost" in text


def test_what_differs_between_images_and_batches_stand_in_the_tables(make_results: Make, tmp_path: Path) -> None:
    results = make_results(pictures=False)
    before = Reader(page_of(results, tmp_path, figures=False)).text
    assert "percentile over" not in before
    assert "in a batch" not in before
    row = results.row("gated")
    cost = row.cost.deployed
    cost.macs_p5, cost.macs_p95, cost.images = 20.0e9, 31.5e9, 180
    for each in results.rows:
        each.cost.deployed.batch_latency_ms = Latency(22.0, 25.0, 22.0, 64, 8)
    text = Reader(page_of(results, tmp_path, figures=False)).text.replace("\u00a0", " ")
    assert text.count("[20.00, 31.50]") == 2, "results and cost"
    assert "[40.00, 63.00]" in text, "operations"
    assert "eager latency in a batch of 8ms, median (p95)" in text
    assert "22.00(25.00)" in text
    assert text.count("180 images of the split “test”") == 2
    assert "the mean over 180 images of the split" in text


def test_a_training_step_is_held_against_the_first_row_about_as_fast_as_the_fastest(
    make_results: Make, tmp_path: Path
) -> None:
    results = make_results(pictures=False)
    assert "Training step" not in page_of(results, tmp_path, figures=False)
    results.row("single").cost.step = StepCost(800.0, 8 * 2.0**20)
    results.row("mtinet").cost.step = StepCost(200.0, 2 * 2.0**20)
    results.row("gated").cost.step = StepCost(191.0, 2 * 2.0**20)
    results.row("gated_large").cost.step = StepCost(300.0, math.nan)
    assert step_baseline(results) is results.row("mtinet"), "a row as fast within 5 % comes later"
    page = page_of(results, tmp_path, figures=False)
    table = page.partition("Training step")[2].partition("</table>")[0]
    assert table.count("400\u00a0%") == 2
    assert "150\u00a0%" in table
    assert table.count("not measured") == 2 + 1
    assert "Percentages are of “MTI-Net”" in table
    assert table.count("100\u00a0%") == 1, "the baseline needs none"
    results.row("gated").cost.step = StepCost(150.0, 2 * 2.0**20)
    assert step_baseline(results) is results.row("gated")
    for row in results.rows:
        row.cost.step = StepCost(math.nan, 2.0**20) if row.name == "hard" else None
    assert step_baseline(results) is None
    table = page_of(results, tmp_path, figures=False).partition("Training step")[2].partition("</table>")[0]
    assert "1.000" in table
    assert "%" not in table
