"""Costs of a network that chooses for each image what it runs: of the images of the test split, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from frugalmtl.cli.main import main
from frugalmtl.core.checks import UserError
from frugalmtl.experiment.comparison import compare as comparing
from frugalmtl.experiment.comparison.compare import compare
from frugalmtl.experiment.comparison.sweep import sweep
from frugalmtl.experiment.config.comparison import Comparison
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.config.sweep import Sweep
from frugalmtl.experiment.measure import profiling
from frugalmtl.experiment.runs.build import build_dataset
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.streams.images import SplitImages
from frugalmtl.report import Results, load_results, save_results
from tests.integration.conftest import write_config
from tests.support.members.adding import add_members
from tests.support.toys.adding import add_toys
from tests.support.toys.picky_router import SEEN

ROUTER = {"encoder": {"name": "picky_router"}}


def save(results: Results, folder: Path) -> None:
    save_results(results, folder / "results.json")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    add_members(monkeypatch)
    add_toys(monkeypatch, tmp_path, "picky_router")
    SEEN.clear()
    monkeypatch.setattr(comparing, "write_report", save)  # drawing takes longest
    return {
        "data": {"name": "sealed", "log": str(tmp_path / "loads.txt"), "train": 4},
        "tasks": ["segmentation", "depth"],
        "backbone": {"name": "cifar_resnet", "depth": 14},
        "decoder": {"name": "independent", "head": "linear"},
        "train": {"epochs": 1, "batch_size": 4, "workers": 0},
    }


def split(base: dict[str, Any]) -> Tensor:
    """The images of the test split as networks take them."""
    config = parse(Experiment, {**base, **ROUTER})
    images = SplitImages(build_dataset(config), "test")
    return torch.stack(list(images.seen_by(profiling.build(config, images.dataset), config)))


def chosen_for(base: dict[str, Any]) -> set[int]:
    """Sizes of the batches that deployed forms chose for; every image is one of the split."""
    images = split(base)
    for batch in SEEN:
        for image in batch:
            assert (images == image).flatten(1).all(1).any(), "no image of the test split"
    return {len(batch) for batch in SEEN}


@pytest.mark.slow
def test_a_comparison_counts_and_times_on_images_of_the_split(base: dict[str, Any], tmp_path: Path) -> None:
    comparison = Comparison(base, {"single": {"encoder": {"name": "single_task"}}, "router": ROUTER}, "single", [0, 1])
    comparison.panels, comparison.latency_rounds = 0, 4
    console = Console(width=200, record=True, quiet=False, file=(tmp_path / "out.txt").open("w"))
    compare(comparison, tmp_path / "out", progress=False, console=console)
    assert chosen_for(base) == {1, 4, 8}, "batches of 4 are those of the evaluation"
    results = load_results(tmp_path / "out" / "results.json")
    single, router = (row.cost.deployed for row in results.rows)
    assert (single.images, single.varies, single.macs_p5) == (0, False, single.macs)
    assert router.images == 8
    assert router.macs_p5 < router.macs < router.macs_p95
    assert (router.latency_ms.images, router.batch_latency_ms.images, router.batch_latency_ms.batch) == (4, 8, 8)
    runs = [Run.open(folder).cost() for folder in results.row("router").run_dirs]
    assert router.macs == pytest.approx(np.mean([cost.macs for cost in runs]))
    assert [seed.macs for seed in results.row("router").seeds] == [cost.macs for cost in runs]
    text = " ".join(console.export_text().replace("\u00a0", " ").split())
    assert "5th and 95th percentile over 8 images of the split 'test'" in text
    assert f"[{router.macs_p5 / 1e6:.2f}, {router.macs_p95 / 1e6:.2f}]" in text
    assert any("8 in batches of 8" in note for note in results.protocol.notes)
    assert any("choose for each image what they run: router." in note for note in results.protocol.notes)
    SEEN.clear()
    assert main(["profile", results.row("router").run_dirs[0], "--rounds", "2", "--json", "--no-onnxruntime"]) == 0
    assert chosen_for(base) == {1, 8}


def test_a_sweep_counts_on_images_of_the_split(base: dict[str, Any], tmp_path: Path) -> None:
    axis = {"key": "train.optimizer.lr", "values": [1e-3], "row": {"title": "rate", **ROUTER}}
    content = {"base": base, "rows": {"single": {"encoder": {"name": "single_task"}}}, "reference": "single"}
    config = parse(Sweep, {**content, "sweep": axis, "panels": 0, "latency_rounds": 1})
    results = sweep(config, tmp_path / "out", progress=False, console=Console(quiet=True))
    assert chosen_for(base) == {1, 4, 8}
    assert results.rows[1].cost.deployed.images == 8


def test_an_untrained_config_is_profiled_on_its_data_or_refused(
    base: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(tmp_path / "router.yaml", {**base, **ROUTER})
    assert main(["profile", "--config", str(path), "--rounds", "2", "--json", "--no-onnxruntime"]) == 0
    assert chosen_for(base) == {1, 8}
    result = json.loads(capsys.readouterr().out)
    deployed = result["deployed"]
    assert deployed["macs_p5"] < deployed["macs"] < deployed["macs_p95"]
    assert (deployed["images"], result["training"]["images"], result["split"]) == (8, 0, "test")
    assert main(["profile", "--config", str(path), "--rounds", "2", "--no-onnxruntime"]) == 0
    assert "deployed: MACs and ms are means over images of the split 'test', MACs over 8" in capsys.readouterr().out
    monkeypatch.setattr(profiling, "build", lambda *_: pytest.fail("nothing is built"))
    del base["data"]
    alone = {**base, **ROUTER, "tasks": [{"kind": "depth"}], "image_size": [32, 32]}
    path = write_config(tmp_path / "alone.yaml", alone)
    assert main(["profile", "--config", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "add a section 'data' to the config" in line


def test_the_profile_of_a_static_encoder_opens_no_data(base: dict[str, Any]) -> None:
    base["data"]["sealed"] = True
    result = profiling.profile_config(parse(Experiment, base), rounds=1)
    assert (result["split"], result["deployed"]["images"]) == (None, 0)
    assert not Path(base["data"]["log"]).exists()


def test_images_are_loaded_once_in_stored_order_and_only_where_they_are_looked_at(base: dict[str, Any]) -> None:
    config = parse(Experiment, base)
    images = SplitImages(build_dataset(config), "test")
    built = profiling.build(config, images.dataset)
    seen, again = images.seen_by(built, config), images.seen_by(built, config)
    _ = seen[3], again[3], seen[-1], seen[2:4]
    assert Path(base["data"]["log"]).read_text().split() == "test test3 test test7 test test2".split()
    assert len(seen) == 8
    with pytest.raises(IndexError):
        _ = seen[8]
    images.dataset.counts["test"] = 0  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="no image"):
        SplitImages(images.dataset, "test").seen_by(built, config)
