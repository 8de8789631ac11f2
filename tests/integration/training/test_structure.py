"""Structure of a run: reloaded, deployed and exported as decided, and taken over by other runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from frugalmtl.cli.main import main
from frugalmtl.core.checks import UserError
from frugalmtl.engine.checkpoints import read_structure
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.training import train_run
from tests.integration.conftest import write_config
from tests.support.members.adding import add_members
from tests.support.steps import interrupted_at

Config = dict[str, Any]
FINAL_ONLY = {"name": "toy_groups", "search_share": 0}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    add_members(monkeypatch)
    return {
        "data": {"name": "sealed", "log": str(tmp_path / "loads.txt")},
        "backbone": {"name": "timm", "model": "test_resnet"},
        "encoder": {"name": "toy_groups"},
        "decoder": {"name": "independent", "head": "linear"},
        "train": {"epochs": 2, "batch_size": 4, "workers": 0},
    }


def train(config: Config, folder: Path, **changes: Any) -> Run:
    return train_run(parse(Experiment, {**config, **changes}), folder, progress=False)


@pytest.fixture
def search(tmp_path: Path, config: Config) -> Run:
    """A run whose method decided to have one network instead of two."""
    return train(config, tmp_path / "search")


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_a_run_is_loaded_as_it_was_decided(search: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh, loaded = search.build().model.encoder, search.load().model.encoder
    assert size(loaded) == size(fresh) / 2
    built, deployed = search.deployed()
    assert size(deployed) < size(fresh)
    raw = deployed(torch.zeros(1, 3, *built.image_size))
    assert set(raw) == {"segmentation", "depth"}
    photo = torch.zeros(40, 30, 3, dtype=torch.uint8).numpy()
    assert set(search.predictor()(photo)) == {"segmentation", "depth"}
    folder = str(search.folder)
    assert main(["evaluate", folder]) == 0
    assert main(["evaluate", folder, "--training_model"]) == 0
    assert main(["profile", folder, "--rounds", "1", "--no-onnxruntime"]) == 0
    assert main(["deploy", folder, "--format", "safetensors"]) == 0
    deployed_scores, training_scores = search.scores("test"), search.scores("test-training_model")
    for task, values in deployed_scores.items():
        assert values == pytest.approx(training_scores[task], abs=2e-3, nan_ok=True)


@pytest.mark.parametrize("take", [["structure"], ["structure", "weights"]])
def test_a_run_takes_over_a_structure(
    search: Run, tmp_path: Path, config: Config, take: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With a rate of almost 0 the weights stay where they began."""
    config["train"]["optimizer"] = {"name": "sgd", "lr": 1e-12}
    start = {"run": str(search.folder), "take": take}
    capsys.readouterr()
    run = train(config, tmp_path / "taken", encoder=FINAL_ONLY, init_from=start)
    said = capsys.readouterr().err.replace("\n", " ")
    assert "(finished): structure taken" in said
    assert read_structure(run.weights) == read_structure(search.weights)
    old, new = (one.load().model.state_dict() for one in (search, run))
    assert old.keys() == new.keys()
    name = next(name for name in old if name.endswith("weight") and old[name].ndim == 4)
    assert torch.allclose(old[name], new[name]) == ("weights" in take)


def test_a_run_that_took_a_structure_goes_on_without_its_source(search: Run, tmp_path: Path, config: Config) -> None:
    start = {"run": str(search.folder), "take": ["structure", "weights"]}
    config["train"]["checkpoint_every"] = 3
    whole = train(config, tmp_path / "whole", encoder=FINAL_ONLY, init_from=start)
    with interrupted_at(8):
        train(config, tmp_path / "cut", encoder=FINAL_ONLY, init_from=start)
    shutil.rmtree(search.folder)
    again = train(config, tmp_path / "cut", encoder=FINAL_ONLY, init_from=start)
    assert again.finished
    one, other = (run.load().model.state_dict() for run in (whole, again))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_taken_is_refused_before_anything_is_written(
    search: Run, tmp_path: Path, config: Config
) -> None:
    plain = train(config, tmp_path / "plain", encoder={"name": "hard_sharing"})
    taken = {"run": str(plain.folder), "take": ["structure"]}
    with pytest.raises(UserError, match=r"init_from: .*plain \(finished\) has no structure to take"):
        train(config, tmp_path / "new", init_from=taken)
    taken["run"] = str(search.folder)
    for changes in ({"encoder": {"name": "hard_sharing"}}, {"encoder": FINAL_ONLY, "tasks": ["depth"]}):
        with pytest.raises(UserError, match=r"the structure of .*search does not fit this network"):
            train(config, tmp_path / "new", init_from=taken, **changes)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_points_of_a_sweep_wait_for_the_row_that_they_take_from(tmp_path: Path, config: Config) -> None:
    pytest.importorskip("optuna")
    content = {
        "base": config,
        "rows": {"single_task": {"encoder": {"name": "single_task"}}, "search": {"shown": False}},
        "reference": "single_task",
        "seeds": [0, 1],
        "panels": 0,
        "latency_rounds": 1,
        "sweep": {
            "key": "train.optimizer.lr",
            "values": [0.001, 0.01],
            "row": {"encoder": FINAL_ONLY, "init_from": {"run": "search", "take": ["structure"], "seed": 1}},
        },
    }
    file = write_config(tmp_path / "sweep.yaml", content)
    assert main(["sweep", "--config", str(file), "--out", str(tmp_path / "out")]) == 0
    runs = {path.name: Run.open(path) for path in (tmp_path / "out" / "runs").iterdir()}
    assert len(runs) == 2 + 1 + 2 * 2
    assert "search-seed1" in runs
    for name, run in runs.items():
        assert (run.scores("test", missing_ok=True) == {}) == (name == "search-seed1")
        assert (read_structure(run.weights) is None) == name.startswith("single_task")
