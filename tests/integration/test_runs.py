"""Uses of a finished run: predicting, deploying, profiling, going on, wherever its data may be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from frugalmtl.cli.main import main
from frugalmtl.experiment.runs.build import task_records, tasks_from_records
from frugalmtl.experiment.runs.run import Run
from frugalmtl.tasks import TASKS
from tests.integration.conftest import write_config

ALL = ["segmentation", "depth", "normals", "edges", "saliency", "human_parts", "attributes"]


@pytest.fixture
def run(tmp_path: Path, experiment: dict[str, Any]) -> Path:
    """A finished run of all seven kinds of tasks."""
    experiment["tasks"] = ALL
    config = write_config(tmp_path / "config.yaml", experiment)
    assert main(["train", "--config", str(config), "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


@pytest.mark.slow
def test_a_run_can_be_moved_and_used_without_its_data(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    shutil.move(run, moved)
    monkeypatch.setattr("frugalmtl_rooms.render", None)
    photo = (np.random.default_rng(0).random((75, 130, 3)) * 255).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    assert main(["predict", str(moved), str(tmp_path / "photo.jpg"), "skimage:coffee", "--longest", "96"]) == 0
    pictures = sorted(path.name for path in (moved / "predictions").glob("photo*"))
    assert pictures == sorted([*(f"photo-{task}.png" for task in ALL[:-1]), "photo-all.png", "photo.txt"])
    with Image.open(moved / "predictions" / "legend.png") as legend:
        colours = {colour for _, colour in legend.convert("RGB").getcolors(1 << 20)}
    assert {(0x4E, 0x79, 0xA7), (0xF2, 0x8E, 0x2B)} <= colours, "the legend shows the colours of the first classes"
    with Image.open(moved / "predictions" / "photo-depth.png") as picture:
        assert picture.width >= 96
        assert 55 < picture.height < 110  # the prediction, and its key beneath
    capsys.readouterr()
    assert main(["profile", str(moved), "--json", "--rounds", "1", "--no-onnxruntime"]) == 0
    profile = json.loads(capsys.readouterr().out)
    for name in ("training", "deployed"):
        assert {"macs", "flops", "params", "bytes", "latency_ms"} <= set(profile[name])
        assert {"median", "p95"} <= set(profile[name]["latency_ms"])
        assert 0 < profile["ratio_to_single_task"][name]["macs"] < 1
    for form, suffix in (("torch_export", ".pt2"), ("onnx", ".onnx"), ("safetensors", ".safetensors")):
        assert main(["deploy", str(moved), "--format", form]) == 0
        assert (moved / "deployed" / f"tiny{suffix}").stat().st_size > 10_000
    assert main(["deploy", str(moved), "--tasks", "depth, segmentation", "--format", "safetensors"]) == 0
    assert main(["deploy", str(moved), "--tasks", "depth", "--format", "safetensors"]) == 0
    one, whole = (moved / "deployed" / f"tiny{names}.safetensors" for names in ("_depth", ""))
    assert one.stat().st_size < whole.stat().st_size
    assert (moved / "deployed" / "tiny_segmentation_depth.safetensors").exists()
    capsys.readouterr()
    for tasks, message in (("deth", "Did you mean 'depth'"), (" ,", "a list of one or more of segmentation, depth")):
        assert main(["deploy", str(moved), "--tasks", tasks]) == 2
        assert message in capsys.readouterr().err


def test_options_of_a_format_are_set_on_the_command_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.pt2"
    command = ["deploy", str(run), "--out", str(file)]
    assert main([*command, "--batch", "1", "--format.tolerance", "1.0e-3"]) == 0
    program = torch.export.load(file)
    (image,) = program.example_inputs[0]
    program.module()(image)
    with pytest.raises(Exception, match=r"(?i)shape|guard|size"):
        program.module()(image.repeat(2, 1, 1, 1))
    capsys.readouterr()
    for options, message in (
        (["size_divisor"], "expected one argument"),
        (["btch=1"], "Did you mean 'batch'"),
        (["tolerance=much"], "tolerance must be"),
    ):
        assert main(["deploy", str(tmp_path / "nowhere"), *(f"--format.{text}" for text in options)]) == 2
        assert message in capsys.readouterr().err


def test_training_model_and_deployed_model_score_the_same(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run)]) == 0
    assert main(["evaluate", str(run), "--training_model"]) == 0
    opened = Run.open(run)
    deployed, training = opened.scores("test"), opened.scores("test-training_model")
    assert list(deployed) == ALL
    for task, values in deployed.items():
        assert values == pytest.approx(training[task], abs=2e-3, nan_ok=True)


def test_a_row_starts_from_the_weights_of_an_earlier_one(
    tmp_path: Path, experiment: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Cross-stitch from single-task networks: every weight is found by its name, only the units are new."""
    first = write_config(tmp_path / "first.yaml", {**experiment, "encoder": {"name": "single_task"}})
    assert main(["train", "--config", str(first), "--out", str(tmp_path / "first")]) == 0
    second = {
        **experiment,
        "encoder": {"name": "cross_stitch", "pretrain_share": 0},
        "init_from": str(tmp_path / "first"),
    }
    second["train"] = {**experiment["train"], "optimizer": {"name": "sgd", "lr": 1e-12}}
    capsys.readouterr()
    config = write_config(tmp_path / "second.yaml", second)
    assert main(["train", "--config", str(config), "--out", str(tmp_path / "second")]) == 0
    assert "4 new here (encoder.units." in capsys.readouterr().err.replace("\n", " ")
    old, new = (Run.open(tmp_path / name).load().model.state_dict() for name in ("first", "second"))
    for name, tensor in old.items():
        if "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(new[name], tensor)


@pytest.mark.parametrize("kind", TASKS.names())
def test_tasks_survive_being_written_down(kind: str) -> None:
    arguments = {"classes": ["a", "b"]} if kind in {"segmentation", "classification"} else {}
    task = TASKS.build({"name": kind, **arguments, "auxiliary": True, "weight": 3.0})
    (again,) = tasks_from_records(json.loads(json.dumps(task_records([task]))))
    raw = torch.randn(1, task.channels, 4, 4) if task.dense else torch.randn(1, task.channels)
    torch.testing.assert_close(again.decode(raw), task.decode(raw))
    for fact in ("name", "kind", "channels", "classes", "weight", "auxiliary", "loss", "metrics", "primary", "dense"):
        assert getattr(again, fact) == getattr(task, fact)
