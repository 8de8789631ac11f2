"""The training contract, by two toy methods: one branches when a stage ends, the other takes the tasks in turns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.cli.main import main
from frugalmtl.engine.checkpoints import read_structure
from frugalmtl.engine.stages.stage_run import StageRun
from frugalmtl.experiment.runs.run import Run
from tests.integration.conftest import EXPERIMENT, write_config
from tests.support.toys.adding import add_toys

ENCODERS: dict[str, dict[str, Any]] = {
    "toy_branches": {"name": "toy_branches", "threshold": 2.0},
    "toy_focus": {"name": "toy_focus", "steps": 1},
}


class Interrupted(Exception):  # noqa: N818  # it is no error
    """Stands for whatever ends a process."""


@pytest.fixture(autouse=True)
def _toys_in_their_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_toys(monkeypatch, tmp_path, *ENCODERS)
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("rooms"))


def config(folder: Path, cache: str, toy: str, **encoder: Any) -> Path:
    content = {
        **EXPERIMENT,
        "data": {"name": "rooms", "size": "tiny", "train": 24, "val": 4, "test": 4, "shifted": 4, "cache": cache},
        "tasks": ["segmentation", "depth", "normals"],
        "encoder": {**ENCODERS[toy], **encoder},
        "decoder": {"name": "independent", "head": "linear"},
        "train": {**EXPERIMENT["train"], "epochs": 2, "batch_size": 4, "checkpoint_every": 1, "workers": 0},
    }
    return write_config(folder / f"{toy}.yaml", content)


def weights(run: Path) -> dict[str, Tensor]:
    return Run.open(run).load().model.state_dict()


@pytest.mark.parametrize("toy", ENCODERS)
def test_a_toy_trains_evaluates_deploys_and_predicts(
    toy: str, tmp_path: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = config(tmp_path, cache, toy), tmp_path / "run"
    assert main(["train", "--config", str(path), "--out", str(run)]) == 0
    assert main(["evaluate", str(run), "--split", "test"]) == 0
    assert main(["profile", str(run), "--json", "--no-onnxruntime"]) == 0
    assert main(["deploy", str(run), "--format", "safetensors"]) == 0
    built, deployed = Run.open(run).deployed()
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(deployed(image), built.model(image).by_task, atol=1e-4, rtol=1e-4)
    assert "wrote" in capsys.readouterr().out.lower() or (run / "deployed").exists()


# The first stage of the branches has six steps, of which the last ends the stage; the rounds have twelve.
STOPS = {"toy_branches": (6, 3, 7, 11), "toy_focus": (2, 1, 4, 6)}
KILLS = [
    pytest.param(toy, stop, marks=[pytest.mark.slow] if number else [])
    for toy, stops in STOPS.items()
    for number, stop in enumerate(stops)
]


@pytest.mark.parametrize(("toy", "stop"), KILLS)
def test_a_toy_killed_anywhere_ends_bit_identical(
    toy: str, stop: int, tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path, cache, toy)
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "whole")]) == 0
    begin = StageRun.begin_step

    def interrupt(self: StageRun, step: int, step_of_run: int) -> Any:
        if step_of_run == stop:
            raise Interrupted
        return begin(self, step, step_of_run)

    with monkeypatch.context() as patch:
        patch.setattr(StageRun, "begin_step", interrupt)
        with pytest.raises(Interrupted):
            main(["train", "--config", str(path), "--out", str(tmp_path / "parts")])
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "parts")]) == 0
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert [name for name, value in whole.items() if not torch.equal(value, parts[name])] == []


def test_branches_reload_as_they_were_decided(tmp_path: Path, cache: str) -> None:
    sizes = {}
    for threshold in (2.0, -2.0):
        path = config(tmp_path, cache, "toy_branches", threshold=threshold)
        run = tmp_path / f"run{threshold}"
        assert main(["train", "--config", str(path), "--out", str(run)]) == 0
        structure = read_structure(Run.open(run).weights)
        assert structure is not None
        assert len(structure["groups"]) == (3 if threshold > 0 else 1)
        sizes[threshold] = sum(parameter.numel() for parameter in Run.open(run).load().model.parameters())
    stage = Run.open(run).build().model.encoder.network.stages[-1]  # type: ignore[union-attr,index]
    assert sizes[2.0] - sizes[-2.0] == 2 * sum(parameter.numel() for parameter in stage.parameters())


def test_a_shape_is_taken_from_another_run(tmp_path: Path, cache: str) -> None:
    path = config(tmp_path, cache, "toy_branches")
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "first")]) == 0
    section = json.dumps({"run": str(tmp_path / "first"), "take": ["structure"]})
    arguments = ["train", "--config", str(path), "--init_from", section, "--out", str(tmp_path / "second")]
    assert main([*arguments, "--encoder.threshold", "-2"]) == 0
    assert read_structure(Run.open(tmp_path / "second").weights) is not None


def test_each_turn_is_for_its_task_on_the_same_batch(
    tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, list[str], list[str]]] = []
    begin = StageRun.begin_step

    def note(self: StageRun, step: int, step_of_run: int) -> Any:
        batches, validation = begin(self, step, step_of_run)
        training = [name for name, value in self.job.model.named_parameters() if value.requires_grad]
        steps.append((self.setup.turn.name, batches[0].names, [name for name in training if "adapters" in name]))
        return batches, validation

    monkeypatch.setattr(StageRun, "begin_step", note)
    assert main(["train", "--config", str(config(tmp_path, cache, "toy_focus")), "--out", str(tmp_path / "run")]) == 0
    tasks = ["segmentation", "depth", "normals"]
    assert [turn for turn, _, _ in steps] == [f"focus_{task}" for task in tasks] * 4
    for first in range(0, 12, 3):
        names = [batch for _, batch, _ in steps[first : first + 3]]
        assert names[0] == names[1] == names[2]
    assert len({tuple(batch) for _, batch, _ in steps}) == 4
    assert [adapters for _, _, adapters in steps[:3]] == [[f"encoder.adapters.{task}"] for task in tasks]
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    for record, task in zip([one for one in records if one["event"] == "step"], tasks * 4, strict=False):
        assert [*record["losses"]] == [task], "no other task's loss is computed"


def test_a_method_that_needs_a_structure_is_refused_without(
    tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = tmp_path / "encoders" / "toy_focus.py"
    toy.write_text(
        toy.read_text().replace("class ToyFocus(Encoder):", "class ToyLater(Encoder):\n    needs_structure = True\n")
    )
    toy.rename(toy.with_name("toy_later.py"))
    path = config(tmp_path, cache, "toy_focus", name="toy_later")
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "run")]) == 2
    assert "trains a structure that another run has decided on: add init_from: {run: FOLDER" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
