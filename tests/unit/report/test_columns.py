"""The results table as data, the Pareto front and the answer in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from frugalmtl.report import Latency, Results, print_table
from frugalmtl.report.columns import answer, columns, pareto_front, ratio

Make = Callable[..., Results]


def test_every_column_marks_its_best_value(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.rows[3].cost.deployed.params = 1e6
    for column in columns(results):
        values = {name: entry.value for name, entry in column.entries.items()}
        best = (max if column.higher_is_better else min)(values.values())
        noise = max((column.entries[name].deviation for name, value in values.items() if value == best), default=0.0)
        for name, entry in column.entries.items():
            near = [bound for bound in (noise, entry.deviation, 0.0) if math.isfinite(bound)]
            assert entry.best == (abs(values[name] - best) <= max(near)), (column.key, name)


def test_what_the_spread_does_not_tell_from_the_best_is_marked_as_well(make_results: Make) -> None:
    results = make_results(pictures=False)
    rows = results.rows[:3]
    for row, (mean, std) in zip(rows, ((2.0, 0.4), (1.7, 0.1), (1.5, 0.2)), strict=True):
        row.delta_mtl_mean, row.delta_mtl_std = mean, std
    for row in results.rows[3:]:
        row.delta_mtl_mean, row.delta_mtl_std = -1.0, math.nan
    column = next(column for column in columns(results) if column.key == "delta_mtl")
    assert [name for name, entry in column.entries.items() if entry.best] == [row.name for row in rows[:2]]


def test_published_values_and_missing_scores_are_never_best(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.published[0].values["segmentation"] = 99.0
    del results.rows[4].scores_mean["segmentation"]
    results.rows[3].scores_mean["segmentation"]["miou"] = math.nan
    column = columns(results)[0]
    assert [entry.text for entry in column.entries.values()][3:] == ["–", "–"]
    best = [name for name, entry in column.entries.items() if entry.best]
    assert "mtinet" in best
    assert not {row.name for row in results.rows[3:]} & {*best}


def test_no_row_is_best_where_all_are_the_same(make_results: Make) -> None:
    params = next(column for column in columns(make_results(pictures=False)) if column.key == "params")
    assert not any(entry.best for entry in params.entries.values())


def test_ratios_come_from_the_file_or_else_from_the_costs(make_results: Make) -> None:
    results = make_results(pictures=False)
    row = results.row("hard")
    assert ratio(results, row, "macs") == pytest.approx(24 / 68)
    assert ratio(results, row, "latency_ms") == pytest.approx(31 / 92)
    row.ratio_to_reference["macs"] = 0.25
    assert ratio(results, row, "macs") == 0.25
    results.row("single").cost.deployed.params = math.nan
    assert math.isnan(ratio(results, row, "params"))


Points = st.dictionaries(st.text(max_size=3), st.tuples(st.floats(0, 9), st.floats(-9, 9)), min_size=1, max_size=9)


@given(Points)
def test_the_front_holds_exactly_the_points_nobody_beats(points: dict[str, tuple[float, float]]) -> None:
    front = {points[name] for name in pareto_front(points)}
    for cost, gain in points.values():
        beaten = any((c <= cost and g >= gain) and (c, g) != (cost, gain) for c, g in points.values())
        assert ((cost, gain) in front) == (not beaten)


def test_the_answer_names_best_cheapest_and_doubt(make_results: Make) -> None:
    text = answer(make_results(pictures=False)).replace("\u00a0", " ")
    assert text.startswith("InterroGate + MTI-Net + CAGrad is the most accurate: Δ_MTL +2.30 ± 0.70 % with 68 % of the")
    assert "Hard sharing is the cheapest: Δ_MTL −2.40 ± 0.40 % with 35 %" in text
    assert "The lead over MTI-Net" not in text or "smaller than the spread" in text


def test_the_answer_calls_nothing_cheap_that_costs_more_than_the_reference(make_results: Make) -> None:
    results = make_results(pictures=False)
    for row in results.rows:
        row.cost.deployed.macs = 3.0e9 if row.name == results.reference else 4.0e9
        row.ratio_to_reference = {}
    text = answer(results)
    assert "no row is cheaper than" in text
    assert "lowest cost" not in text


def test_the_answer_doubts_a_lead_within_the_spread_only(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.row("mtinet").delta_mtl_mean = 2.2
    assert "The lead over MTI-Net is smaller than the spread between seeds." in answer(results)
    results.row("gated_large").delta_mtl_mean = 9.0
    assert "smaller than the spread" not in answer(results)


def test_the_answer_is_honest_about_losses_one_seed_and_nothing(make_results: Make) -> None:
    results = make_results(pictures=False, seeds=1)
    assert "One seed only" in answer(results)
    for row in results.rows:
        row.delta_mtl_mean = -1.0
    assert "without reaching it" in answer(results)
    for row in results.rows:
        row.delta_mtl_mean = math.nan
    assert "nothing to compare" in answer(results)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_terminal_table_never_cuts_a_number(make_results: Make, width: int) -> None:
    results = make_results(pictures=False)
    results.rows[1].title = "[bold]not markup[/bold]"
    console = Console(width=width, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_table(results, console)
    text = console.export_text()
    for column in columns(results):
        assert column.arrow in text
        for entry in column.entries.values():
            assert f"{entry.text} {entry.spread}".strip() in text
    assert "…" not in text
    assert "published" in text
    if width > 100:
        assert "[bold]not markup[/bold]" in text
        assert "Single-task networks *" in text


def _with_budgets(results: Results) -> Results:
    gated, large = results.row("gated"), results.row("gated_large")
    gated.budget, gated.target_macs = "0.4x", 27.0e9
    for seed, macs in zip(gated.seeds, (27.2e9, 26.1e9, 27.0e9), strict=True):
        seed.macs, seed.params = macs, 3.1e7
    large.budget, large.target_latency_ms, large.target_macs = "[b]70ms[/b]", 70.0, 1.0
    return results


def test_a_budget_column_shows_what_was_asked_and_the_worst_seed(make_results: Make) -> None:
    assert "budget" not in {column.key for column in columns(make_results(pictures=False))}
    column = columns(_with_budgets(make_results(pictures=False)))[-1]
    texts = {name: (entry.text, entry.spread.replace("\u00a0", " ")) for name, entry in column.entries.items()}
    assert texts["gated"] == ("0.4x", "off by −3.3 %")
    assert texts["gated_large"] == ("[b]70ms[/b]", "off by +1.4 %"), "a budget of time is held against the latency"
    assert texts["single"] == ("–", "")
    assert not any(entry.best for entry in column.entries.values())


def test_a_budget_of_time_is_held_against_its_runtime(make_results: Make) -> None:
    results = make_results(pictures=False)
    assert "onnxruntime_latency_ms" not in {column.key for column in columns(results)}
    row = results.row("gated")
    row.budget, row.target_latency_ms, row.target_runtime = "20ms@onnxruntime", 20.0, "onnxruntime"
    row.cost.deployed.onnxruntime_latency_ms = Latency(21.0, 25.0, 21.0)
    by_key = {column.key: column for column in columns(results)}
    assert by_key["budget"].entries["gated"].spread.replace("\u00a0", " ") == "off by +5.0 %"
    assert by_key["onnxruntime_latency_ms"].entries["gated"].value == 21.0
    assert by_key["onnxruntime_latency_ms"].entries["hard"].missing


def test_a_budget_of_another_machine_is_held_against_its_file(make_results: Make) -> None:
    results = make_results(pictures=False)
    row = results.row("gated")
    row.budget, row.target_latency_ms, row.target_runtime = "20ms@onnxruntime", 20.0, "onnxruntime"
    row.target_place, row.milliseconds_there = "the machine of box.json in onnxruntime", 19.0
    row.cost.deployed.onnxruntime_latency_ms = Latency(5.0, 6.0, 5.0)
    assert columns(results)[-1].entries["gated"].spread.replace("\u00a0", " ") == "off by −5.0 %"


def test_a_budget_without_numbers_is_shown_without_a_deviation(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.rows[1].budget = "0.5x"
    entry = columns(results)[-1].entries["hard"]
    assert (entry.text, entry.spread) == ("0.5x", "")
    assert math.isnan(entry.value)
    results.rows[1].target_macs = 20.0e9
    assert columns(results)[-1].entries["hard"].value == pytest.approx(0.2), "the row's cost where seeds have none"


def test_costs_that_differ_between_seeds_have_a_spread(make_results: Make) -> None:
    by_key = {column.key: column for column in columns(_with_budgets(make_results(pictures=False)))}
    assert by_key["macs"].entries["gated"].spread == "±\u00a00.59"
    assert by_key["params"].entries["gated"].spread == "", "every seed stores the same"
    assert by_key["macs"].entries["hard"].spread == ""


def test_costs_that_differ_between_images_stand_as_mean_and_percentiles(make_results: Make) -> None:
    results = _with_budgets(make_results(pictures=False))
    cost = results.row("gated").cost.deployed
    cost.macs_p5, cost.macs_p95, cost.images = 20.0e9, 31.5e9, 180
    cost.latency_ms.typical = 40.0
    hard = results.row("hard").cost.deployed
    hard.macs_p5 = hard.macs_p95 = hard.macs
    by_key = {column.key: column for column in columns(results)}
    assert by_key["macs"].entries["gated"].spread == "±\u00a00.59 [20.00,\u00a031.50]"
    assert by_key["macs"].entries["hard"].spread == ""
    assert by_key["latency_ms"].entries["gated"].value == 40.0
    assert by_key["latency_ms"].entries["hard"].value == hard.latency_ms.median
    assert ratio(results, results.row("gated"), "latency_ms") == pytest.approx(40 / 92)
    console = Console(width=200, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_table(results, console)
    text = " ".join(console.export_text().replace("\u00a0", " ").split())
    assert "27.50 ± 0.59 [20.00, 31.50]" in text
    assert "5th and 95th percentile over 180 images of the split" in text


def test_the_terminal_shows_budgets_as_they_were_written(make_results: Make) -> None:
    console = Console(width=200, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_table(_with_budgets(make_results(pictures=False)), console)
    text = console.export_text().replace("\u00a0", " ")
    assert "[b]70ms[/b] off by +1.4 %" in text
    assert "how far the seed farthest from it is off" in " ".join(text.split())
