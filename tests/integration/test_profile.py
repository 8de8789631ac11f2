"""Cost from the command line: an experiment, a row of a comparison, and a comparison as its paper's table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.cli.main import main
from tests.integration.conftest import write_config

COMPARISON: dict[str, Any] = {
    "name": "small_table",
    "reference": "single",
    "base": {
        "image_size": [32, 32],
        "tasks": [{"kind": "depth"}, {"kind": "human_parts"}],
        "backbone": {"name": "cifar_resnet", "depth": 8, "shortcut": "B"},
        "decoder": {"name": "independent", "head": "linear"},
        "published": {"source": "A paper: its table", "convention": "2 macs"},
    },
    "rows": {
        "single": {
            "title": "One network per task",
            "encoder": {"name": "single_task"},
            "published": {"flops": 50.0e6, "params": 0.2e6, "scores": {"depth": 0.585}, "delta_mtl": 0.0},
        },
        "shared": {"published": {"flops": 25.0e6, "scores": {"depth": 0.6}}},
        "gated": {"encoder": {"name": "interrogate"}, "published": {"flops": 30.0e6}},
    },
    "published": [
        {"title": "Another method", "source": "A paper: its table", "flops": 77.0e6, "delta_mtl": 1.25},
        {
            "title": "A trunk",
            "source": "A paper: its text",
            "convention": "trunk alone",
            "values": {"trunk_gmac": 33.35},
        },
    ],
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(write_config(tmp_path / "table.yaml", COMPARISON))


def profiled(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["profile", "--json", *arguments]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_comparison_as_json(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--config", config, "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert [line.split(",")[0] for line in printed.err.splitlines()] == [f"counted {row}" for row in COMPARISON["rows"]]
    assert list(result["rows"]) == list(COMPARISON["rows"])
    assert result["rows"]["single"]["published"][0] == {
        **COMPARISON["base"]["published"],
        **COMPARISON["rows"]["single"]["published"],
        "measured_flops": result["rows"]["single"]["flops"],
        "flops_ratio": pytest.approx(result["rows"]["single"]["flops"] / 50.0e6),
        "measured_params": result["rows"]["single"]["params"],
        "params_ratio": pytest.approx(result["rows"]["single"]["params"] / 0.2e6),
    }
    assert result["published"] == COMPARISON["published"]


def test_comparison_as_table(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    row = profiled(capsys, "--config", config)["rows"]["single"]
    assert main(["profile", "--config", config]) == 0
    lines = capsys.readouterr().out.splitlines()
    by_title = {
        title: next(line for line in lines if title in line).split() for title in ("One network", "gated", "Another")
    }
    ratio = f"{row['flops'] / 50.0e6:.3f}"
    cells = [f"{row['macs'] / 1e6:.2f}", f"{row['flops'] / 1e6:.2f}", "50", ratio, f"{row['params'] / 1e6:.2f}", "0.2"]
    assert by_title["One network"][4:] == [*cells, f"{row['params'] / 0.2e6:.3f}", "0.585", "+0.00"]
    assert by_title["gated"][:2] == ["gated", "*"]
    assert len(by_title["gated"]) == 5, "MACs, published operations and parameters, and no ratio"
    assert by_title["Another"] == ["Another", "method", "77", "+1.25"]
    assert sum("published: A paper: its table" in line for line in lines) == 1
    assert [line for line in lines if "trunk" in line] == ["published of A trunk: trunk_gmac 33.35 (trunk alone)"]
    assert "counted: in the paper's convention, 2 macs" in lines


def test_row_is_profiled_as_its_experiment(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = {**COMPARISON["base"], "name": "shared", "encoder": {"name": "hard_sharing"}}
    experiment = str(write_config(tmp_path / "alone.yaml", alone))
    row = profiled(capsys, "--config", config, "--row", "shared", "--rounds", "1", "--no-onnxruntime")
    one = profiled(capsys, "--config", experiment, "--rounds", "1", "--no-onnxruntime")
    assert row["name"] == one["name"] == "shared"
    for name in ("training", "deployed", "single_task", "single_task_deployed"):
        for figure in ("macs", "params", "bytes"):
            assert row[name][figure] == one[name][figure]
    assert row["published"][0]["flops_ratio"] == pytest.approx(2 * row["training"]["macs"] / 25.0e6)
    changed = profiled(
        capsys, "--config", config, "--row", "shared", "--backbone.depth", "14", "--rounds", "1", "--no-onnxruntime"
    )
    assert changed["training"]["macs"] > row["training"]["macs"]


@pytest.mark.parametrize(("row", "decided"), [("shared", True), ("gated", False)])
def test_costs_that_training_decides_are_not_told_as_final(
    row: str, decided: bool, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "--config", config, "--row", row, "--rounds", "1", "--no-onnxruntime"]) == 0
    assert ("decides its cost while it trains, and here has not been trained" in capsys.readouterr().out) is not decided


def test_points_of_a_sweep_are_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = {"row": {"title": "Gated"}, "key": "backbone.depth", "values": [8, 14]}
    rows = {"single": COMPARISON["rows"]["single"]}
    path = write_config(tmp_path / "sweep.yaml", {**COMPARISON, "rows": rows, "sweep": sweep})
    result = profiled(capsys, "--config", str(path))
    assert list(result["rows"]) == ["single", "gated_8", "gated_14"]
    assert result["rows"]["gated_8"]["macs"] < result["rows"]["gated_14"]["macs"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--row", "shraed"], "unknown row 'shraed': expected one of gated, shared, single. Did you mean 'shared'?"),
        (["--rounds", "2"], "name one with --row"),
        (["--encoder.name", "single_task"], "name one with --row"),
    ],
)
def test_what_a_comparison_cannot_take_is_refused(
    flags: list[str], message: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "--config", config, *flags]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert message in printed.err


def test_row_of_an_experiment_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(tmp_path / "alone.yaml", COMPARISON["base"])
    assert main(["profile", "--config", str(path), "--row", "shared"]) == 2
    assert "only the config of a comparison has rows" in capsys.readouterr().err


@pytest.mark.slow
def test_the_time_of_the_file_stands_beside_the_eager_one(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    assert main(["profile", "--config", config, "--row", "shared", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    heads = next(line for line in printed.splitlines() if "ms eager" in line)
    assert heads.split() == ["ms", "eager", *"p95 in a batch of 8 ms onnxruntime p95 in a batch of 8".split()]
    assert "eager latency in a batch" in printed
    assert "onnxruntime latency in a batch" in printed
    result = profiled(capsys, "--config", config, "--row", "shared", "--rounds", "1")
    times = {key: value["runtime"] for key, value in result["deployed"].items() if key.endswith("latency_ms")}
    assert times == {
        "latency_ms": "eager",
        "batch_latency_ms": "eager",
        "onnxruntime_latency_ms": "onnxruntime",
        "onnxruntime_batch_latency_ms": "onnxruntime",
    }
    assert result["notes"] == []


def test_what_cannot_be_timed_in_onnxruntime_is_said(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("frugalmtl.export._session.find_spec", lambda _: None)
    result = profiled(capsys, "--config", config, "--row", "shared", "--rounds", "1")
    assert result["notes"] == [
        f'{name}: not timed in onnxruntime: runtime onnxruntime needs onnxruntime: run pip install "frugalmtl[onnx]"'
        for name in ("deployed", "single task deployed")
    ]
    assert main(["profile", "--config", config, "--row", "shared", "--onnxruntime"]) == 2
    assert "needs onnxruntime" in capsys.readouterr().err
