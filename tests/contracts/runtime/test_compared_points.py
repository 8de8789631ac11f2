"""Operating points of one training as rows of a comparison and of a sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.cli.main import main
from frugalmtl.report import load_results
from tests.integration.conftest import write_config


@pytest.fixture(scope="module")
def base(router: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in router.items() if key not in ("name", "encoder")}


def trained(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("runs/*/log.jsonl"))


@pytest.mark.slow
def test_a_row_per_point_comes_of_one_training(router: dict[str, Any], base: dict[str, Any], tmp_path: Path) -> None:
    content = {
        "base": {**base, "encoder": {"name": "hard_sharing"}},
        "reference": "static",
        "seeds": [0, 1],
        "panels": 1,
        "latency_rounds": 1,
        "step_rounds": 1,
        "rows": {
            "static": None,
            "router": {"title": "Router", "encoder": router["encoder"], "points": ["0.4x", "0.3x"]},
        },
    }
    folder = tmp_path / "out"
    assert main(["compare", "--config", str(write_config(tmp_path / "c.yaml", content)), "--out", str(folder)]) == 0
    assert trained(folder) == [f"{row}-seed{seed}" for row in ("router", "static") for seed in (0, 1)]
    results = load_results(folder / "results.json")
    assert [row.name for row in results.rows] == ["static", "router@0.4x", "router@0.3x"]
    high, low = (results.row(f"router@{point}") for point in ("0.4x", "0.3x"))
    assert [(row.label, row.curve, row.budget) for row in (high, low)] == [
        ("Router 0.4x", "Router", "0.4x"),
        ("Router 0.3x", "Router", "0.3x"),
    ]
    assert low.run_dirs == high.run_dirs
    assert low.cost.deployed.macs < high.cost.deployed.macs
    assert low.target_macs / high.target_macs == pytest.approx(0.75)
    for row, seeds in ((high, high.seeds), (low, low.seeds)):
        for seed in seeds:
            kept = folder / "runs" / f"router-seed{seed.seed}" / f"scores-test@{row.budget}.json"
            assert json.loads(kept.read_text()) == seed.scores
            assert seed.macs / row.target_macs == pytest.approx(1, abs=0.2)  # calibrated on other images
    assert low.scores_mean != high.scores_mean
    assert low.cost.step == high.cost.step
    assert set(results.curves) == {"static", "router@0.4x"}
    assert set(results.panels[0].predictions) == {row.name for row in results.rows}
    notes = " ".join(results.protocol.notes)
    assert "calibrated when the training ended: router@0.4x, router@0.3x." in notes
    assert not list(folder.glob("runs/router-*/scores-test.json"))


@pytest.mark.slow  # the first one shows most of it
def test_values_of_a_sweep_have_rows_at_their_points(
    router: dict[str, Any], base: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    content = {
        "base": base,
        "reference": "static",
        "panels": 0,
        "latency_rounds": 1,
        "rows": {"static": None},
        "sweep": {
            "key": "train.optimizer.lr",
            "row": {"title": "lr", "encoder": router["encoder"], "points": ["0.3x", "0.4x"]},
            "values": [0.01, 0.02],
        },
    }
    folder = tmp_path / "out"
    assert main(["sweep", "--config", str(write_config(tmp_path / "s.yaml", content)), "--out", str(folder)]) == 0
    assert trained(folder) == ["lr_0_01-seed0", "lr_0_02-seed0", "static-seed0"]
    results = load_results(folder / "results.json")
    assert [row.name for row in results.rows] == [
        "static",
        *(f"lr_0_0{value}@{point}" for value in (1, 2) for point in ("0.3x", "0.4x")),
    ]
    records = [json.loads(line) for line in (folder / "sweep.journal").read_text().splitlines()]
    means = [
        [(rows[0].delta_mtl_mean + rows[1].delta_mtl_mean) / 2, sum(row.cost.deployed.macs for row in rows) / 2]
        for rows in (results.rows[1:3], results.rows[3:])
    ]
    for trial, mean in zip(
        sorted(line["values"] for line in records if line.get("values")), sorted(means), strict=True
    ):
        assert trial == pytest.approx(mean)


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_a_point_that_was_not_calibrated_is_refused_before_anything_is_trained(
    command: str, router: dict[str, Any], base: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"encoder": router["encoder"], "points": ["0.5x"]}
    content: dict[str, Any] = {"base": base, "reference": "static", "rows": {"static": None}}
    if command == "compare":
        content["rows"]["router"] = row
    else:
        content["sweep"] = {"key": "train.optimizer.lr", "row": row, "values": [0.01]}
    path = write_config(tmp_path / "c.yaml", content)
    assert main([command, "--config", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "unknown budget '0.5x': expected one of 0.3x, 0.4x" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
