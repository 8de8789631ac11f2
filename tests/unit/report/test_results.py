"""results.json: round trip, and every way in which it can be broken."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Heatmap
from frugalmtl.report import Results, SeedResult, StepCost, load_results, save_results, summarise_seeds
from tests.support.report import add_interference, interference_drawings, page_of

Make = Callable[..., Results]


def test_round_trip_keeps_everything(make_results: Make, tmp_path: Path) -> None:
    results = make_results()
    save_results(results, tmp_path / "results.json")
    again = load_results(tmp_path / "results.json")
    assert again.to_json() == results.to_json()
    assert again.rows[2] == results.rows[2]
    assert again.panels == results.panels
    assert math.isnan(again.rows[0].delta_mtl_std)


def test_file_is_standard_json_also_with_nan_and_infinity(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.rows[1].mean_rank = math.nan
    results.rows[1].delta_mtl_mean = -math.inf
    results.rows[1].config = {"path": Path("a/b"), "lr": np.float32(0.5), "sizes": (1, 2)}

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    row = json.loads(results.to_json(), parse_constant=refuse)["rows"][1]
    assert row["mean_rank"] is None
    assert row["config"] == {"path": "a/b", "lr": 0.5, "sizes": [1, 2]}
    assert Results.from_json(results.to_json()).rows[1].delta_mtl_mean == -math.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("rows"), "lacks rows"),
        (lambda content: content.update(colour=1), "unknown key in results: 'colour'"),
        (lambda content: content.update(rows=[]), "rows is empty"),
        (lambda content: content.update(rows={}), "rows must be a list"),
        (lambda content: content.update(reference="nobody"), "unknown .*reference.* 'nobody'"),
        (lambda content: content["rows"].append(content["rows"][0]), "more than once"),
        (lambda content: content["rows"][0].update(mean_rank="first"), r"rows\[0\].mean_rank must be a number"),
        (lambda content: content["rows"][0].update(mean_rank=True), r"rows\[0\].mean_rank must be a number"),
        (lambda content: content["rows"][0]["scores_mean"].update(taste={"m": 1.0}), "unknown task .*'taste'"),
        (lambda content: content["tasks"][0].update(higher_is_better="yes"), "must be true or false"),
        (lambda content: content["protocol"].update(split_size=1.5), "split_size must be a whole number"),
        (lambda content: content["protocol"].update(seeds=None), "seeds must be a list"),
        (lambda content: content.update(curves={"nobody": []}), "unknown row .*'nobody'"),
        (lambda content: content["panels"][0].update(image="/etc/passwd"), "inside the folder"),
        (lambda content: content["panels"][0].update(image="../secret.png"), "inside the folder"),
        (
            lambda content: content["panels"][0]["labels"]["classification"]["words"][0].update(mark="so-so"),
            "mark must be '', 'right'",
        ),
        (lambda content: content["panels"][0]["predictions"].update(nobody={}), "unknown row .*'nobody'"),
    ],
)
def test_broken_files_are_refused_with_the_place(
    make_results: Make, change: Callable[[Any], Any], message: str
) -> None:
    content = json.loads(make_results().to_json())
    change(content)
    with pytest.raises(UserError, match=message):
        Results.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "x"}', "[" * 100_000])
def test_what_is_no_results_file_at_all(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError):
        load_results(tmp_path / "results.json")


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_results(tmp_path / "results.json")
    (tmp_path / "results.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-16"):
        load_results(tmp_path / "results.json")


def test_seeds_are_summarised_like_numpy() -> None:
    values = [0.31, 0.35, 0.28]
    runs = [SeedResult(seed, {"a": {"m": value}}) for seed, value in enumerate(values)]
    mean, std = summarise_seeds(runs)
    assert mean["a"]["m"] == pytest.approx(np.mean(values))
    assert std["a"]["m"] == pytest.approx(np.std(values, ddof=1))
    assert summarise_seeds(runs[:1])[1] == {}


def test_a_seed_without_a_score_does_not_spoil_the_mean_but_nan_does() -> None:
    runs = [SeedResult(0, {"a": {"m": 1.0}}), SeedResult(1, {}), SeedResult(2, {"a": {"m": 3.0}})]
    assert summarise_seeds(runs)[0] == {"a": {"m": 2.0}}
    mean, std = summarise_seeds([*runs, SeedResult(3, {"a": {"m": math.nan}})])
    assert math.isnan(mean["a"]["m"])
    assert math.isnan(std["a"]["m"])


def test_files_from_before_curves_budgets_and_heat_maps_still_load(make_results: Make) -> None:
    content = json.loads(make_results(pictures=False).to_json())
    for row in content["rows"]:
        for key in ("curve", "budget", "target_macs", "target_latency_ms", "pictures"):
            del row[key]
        for seed in row["seeds"]:
            del seed["macs"], seed["params"]
    row = Results.from_json(json.dumps(content)).rows[1]
    assert (row.curve, row.budget, row.pictures) == ("", None, [])
    assert math.isnan(row.target_macs)
    assert math.isnan(row.target_latency_ms)
    assert math.isnan(row.seeds[0].macs)


def test_heat_maps_and_budgets_survive_the_file(make_results: Make) -> None:
    results = make_results(pictures=False)
    row = results.rows[3]
    row.budget, row.target_latency_ms, row.curve = "12ms", 12.0, "Gates"
    row.pictures = [Heatmap("own", "Own channels", ["a", "b"], ["x", "y"], [[0.5, math.nan], [1.0, 0.25]], "c", (0, 2))]
    text = results.to_json()
    again = Results.from_json(text)
    assert again.to_json() == text
    assert again.rows[3].pictures[0].limits == (0, 2)
    assert math.isnan(again.rows[3].pictures[0].values[0][1])
    assert again.rows[3].pictures[0].values[1] == [1.0, 0.25]
    assert (again.rows[3].budget, again.rows[3].target_latency_ms, again.rows[3].curve) == ("12ms", 12.0, "Gates")
    assert again.rows[2].budget is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda picture: picture.update(name="../x"), "letters, digits"),
        (lambda picture: picture.update(rows=[], values=[]), "is empty"),
        (lambda picture: picture["values"][0].pop(), "must hold 1 rows of 2 numbers"),
        (lambda picture: picture["values"].append([1, 2]), "must hold 1 rows of 2 numbers"),
        (lambda picture: picture.update(limits=[1.0, 0.0]), "the lower one first"),
        (lambda picture: picture.update(limits=[0.0]), r"limits must be a list of 2"),
        (lambda picture: picture.update(values=[["a", 1]]), r"values\[0\]\[0\] must be a number"),
    ],
)
def test_broken_heat_maps_are_refused(make_results: Make, change: Callable[[Any], Any], message: str) -> None:
    results = make_results(pictures=False)
    results.rows[0].pictures = [Heatmap("own", "Own channels", ["a"], ["x", "y"], [[0.5, 0.1]])]
    content = json.loads(results.to_json())
    change(content["rows"][0]["pictures"][0])
    with pytest.raises(UserError, match=message):
        Results.from_json(json.dumps(content))


def test_records_of_weights_and_gradients_survive_the_file(make_results: Make) -> None:
    results = add_interference(make_results(pictures=False))
    results.rows[1].cost.step = StepCost(12.5, 3e8)
    again = Results.from_json(results.to_json())
    assert again.to_json() == results.to_json()
    assert again.curves["hard"][3] == results.curves["hard"][3]
    assert again.curves["hard"][3].cosines.keys() == again.curves["hard"][3].conflicts.keys()
    assert again.rows[-1].affinity == results.rows[-1].affinity
    assert again.rows[1].cost.step == StepCost(12.5, 3e8)
    assert again.rows[2].cost.step is None


def test_files_from_before_weights_and_gradients_still_load(make_results: Make) -> None:
    content = json.loads(make_results(pictures=False).to_json())
    for row in content["rows"]:
        del row["affinity"], row["cost"]["step"]
    for history in content["curves"].values():
        for epoch in history:
            for key in ("weights", "norms", "cosines", "conflicts"):
                del epoch[key]
    results = Results.from_json(json.dumps(content))
    assert results.curves["hard"][0].cosines == {}
    assert (results.rows[0].affinity, results.rows[0].cost.step) == ({}, None)
    assert interference_drawings(results) == {}


def _keeps(new: Any, old: Any) -> bool:
    """Whether all of ``old`` stands in ``new``, which may hold further keys."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and _keeps(new[key], value) for key, value in old.items())
    if isinstance(old, list):
        return len(new) == len(old) and all(_keeps(*each) for each in zip(new, old, strict=True))
    return type(new) is type(old) and bool(new == old)


def test_a_file_of_an_earlier_version_is_read_and_written_again_with_all_that_it_holds(tmp_path: Path) -> None:
    path = Path(__file__).parent / "data" / "results.json"
    results = load_results(path)
    old = json.loads(path.read_text(encoding="utf-8"))
    assert _keeps(json.loads(results.to_json()), old)
    assert not _keeps(old, old | {"name": "another"})
    cost = results.rows[0].cost.deployed
    assert (cost.images, cost.varies) == (0, False)
    assert math.isnan(cost.macs_p5)
    assert math.isnan(cost.batch_latency_ms.median)
    assert [row.label for row in results.rows] == [
        "Single-task networks",
        "Hard sharing",
        "InterroGate + MTI-Net + CAGrad",
    ]
    row = results.row("gated_large")
    assert (row.budget, row.target_macs, row.curve, row.pictures[0].values[0][0]) == ("0.6x", 41e9, "Gates", 0.25)
    for name in ("one", "two"):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{name}.png")
    for panel in results.panels:
        panel.image = panel.image.removeprefix("figures/")
        panel.predictions["hard"]["depth"].picture = "two.png"
    page = page_of(results, tmp_path, figures=False)
    assert "off by +4.9" in page
    assert "Percentages are of “Hard sharing”" in page
