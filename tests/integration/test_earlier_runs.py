"""Runs trained by an earlier version: they load, deploy to the same network, score the same, count as finished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from frugalmtl.cli.main import main
from frugalmtl.evaluation.cost import count
from frugalmtl.experiment.runs.run import Run

DATA = Path(__file__).parent / "data" / "earlier_runs"
NAMES = ("cross_stitch", "interrogate")
SIZE = (64, 64)


@pytest.fixture(params=NAMES)
def run_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy, so that a test that writes leaves the committed folder alone."""
    return Path(shutil.copytree(DATA / request.param, tmp_path / request.param))


def test_the_deployed_network_is_the_same(run_folder: Path) -> None:
    _, deployed = Run.open(run_folder).deployed()
    image = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        outputs = deployed(image)
    expected = load_file(DATA / f"{run_folder.name}.outputs.safetensors")
    assert outputs.keys() == expected.keys()
    for task, output in outputs.items():
        torch.testing.assert_close(output[:, :, ::4, ::4].contiguous(), expected[task], atol=1e-5, rtol=1e-5)
    cost = count(deployed, SIZE).as_dict()
    assert {key: cost[key] for key in ("macs", "params")} == json.loads(
        (DATA / f"{run_folder.name}.cost.json").read_text()
    )


def test_evaluate_gives_the_scores_of_then(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRUGALMTL_CACHE", str(tmp_path / "cache"))
    scores = run_folder / "scores-test.json"
    expected = json.loads(scores.read_text())
    scores.unlink()
    assert main(["evaluate", str(run_folder), "--split", "test"]) == 0
    assert capsys.readouterr().out
    for task, values in json.loads(scores.read_text()).items():
        assert values == pytest.approx(expected[task], rel=1e-4, abs=1e-6)


def test_train_takes_it_as_finished(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRUGALMTL_CACHE", str(tmp_path / "cache"))
    files = {path: path.read_bytes() for path in run_folder.rglob("*") if path.suffix in (".safetensors", ".jsonl")}
    assert main(["train", "--config", str(run_folder / "config.yaml"), "--out", str(run_folder)]) == 0
    capsys.readouterr()
    assert {path: path.read_bytes() for path in files} == files


def test_a_config_of_then_is_read_whole(run_folder: Path) -> None:
    content = yaml.safe_load((run_folder / "config.yaml").read_text())
    config = Run.open(run_folder).config
    assert config.train.epochs == content["train"]["epochs"]
    assert config.encoder == content["encoder"]
    assert config.backbone == content["backbone"]
