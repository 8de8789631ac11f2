"""A new method is one file: dropped into its room it is listed, checked, trained, deployed and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frugalmtl import encoders
from frugalmtl.cli.main import main
from tests.integration.conftest import write_config

TOY = '''
"""Hard sharing with a learned scale per task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frugalmtl.core.types import Features
from frugalmtl.encoders.base import Encoder, wanted_of


class ToyScale(Encoder):
    """One trunk, and one learned factor per task.

    Args:
        start: first value of the factors.
    """

    def __init__(self, backbone, tasks, *, start: float = 1.0) -> None:
        super().__init__()
        self.task_names, self.channels, self.strides = tuple(tasks), backbone.channels, backbone.strides
        self.network = backbone
        self.factors = nn.Parameter(torch.full((len(tasks),), start))

    def encode(self, image: Tensor, tasks=None) -> list[Tensor]:
        return self.network(image)

    def branch(self, shared: list[Tensor], tasks=None) -> Features:
        pairs = zip(self.task_names, self.factors)
        wanted = wanted_of(self.task_names, tasks)
        return Features({task: [level * factor for level in shared] for task, factor in pairs if task in wanted})

    def deploy(self) -> nn.Module:
        return Deployed(self)


class Deployed(nn.Module):
    """Trunk and factors."""

    def __init__(self, toy: ToyScale) -> None:
        super().__init__()
        self.network, self.task_names = toy.network, toy.task_names
        self.factors = nn.Parameter(toy.factors.detach().clone())

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        levels = self.network(image)
        return {task: [level * factor for level in levels] for task, factor in zip(self.task_names, self.factors)}
'''


@pytest.mark.slow
def test_one_file_is_enough(
    tmp_path: Path, experiment: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    room = tmp_path / "encoders"
    room.mkdir()
    (room / "toy_scale.py").write_text(TOY)
    monkeypatch.setattr(encoders, "__path__", [*encoders.__path__, str(room)])
    assert main(["list", "encoders"]) == 0
    assert "toy_scale" in capsys.readouterr().out
    config = write_config(
        tmp_path / "compare.yaml",
        {
            "name": "toys",
            "base": experiment,
            "rows": {
                "single_task": {"encoder": {"name": "single_task"}},
                "toy": {"title": "A toy", "encoder": {"name": "toy_scale", "start": 0.5}},
            },
            "reference": "single_task",
            "panels": 2,
            "photos": ["skimage:coffee"],
            "latency_rounds": 2,
        },
    )
    assert main(["compare", "--config", str(config), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "A toy" in printed
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    toy = next(row for row in results["rows"] if row["name"] == "toy")
    assert toy["encoder"] == "toy_scale"
    assert toy["cost"]["deployed"]["macs"] < results["rows"][0]["cost"]["deployed"]["macs"]
    assert "A toy" in (tmp_path / "out" / "report.html").read_text()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").rglob("model.safetensors")}
    assert main(["compare", "--config", str(config), "--out", str(tmp_path / "out")]) == 0, "a second call goes on"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").rglob("model.safetensors")} == before
    assert (
        main(
            [
                "compare",
                "--config",
                str(config),
                "--rows",
                '{"single_task": {"encoder": {"name": "toy_scale", "strat": 1}}}',
            ]
        )
        == 2
    )
    assert "Did you mean 'start'" in capsys.readouterr().err
