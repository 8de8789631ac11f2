"""A comparison with operating points of a method that prunes, keeps a budget and shows what it decided."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from frugalmtl import encoders
from frugalmtl.core.checks import UserError
from frugalmtl.experiment.comparison.compare import compare
from frugalmtl.experiment.config.comparison import Comparison, row_experiments
from frugalmtl.report import load_results

PRUNER = '''
"""A trunk and a side path whose width is left to chance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from frugalmtl.core.types import Features, Heatmap
from frugalmtl.encoders.base import Encoder, wanted_of


class ChancePruner(Encoder):
    """One trunk; of eight channels beside it those stay whose random gate is open.

    Args:
        budget: what is asked.
    """

    def __init__(self, backbone, tasks, *, budget: str = "0.5x") -> None:
        super().__init__()
        self.task_names, self.channels, self.strides = tuple(tasks), backbone.channels, backbone.strides
        self.network = backbone
        self.gates = nn.Parameter(torch.randn(8), requires_grad=False)
        self.side = nn.Conv2d(3, 8, 1)
        self.budget = budget

    @property
    def target_macs(self) -> float:
        return 1.0e6

    def encode(self, image: Tensor, tasks=None) -> list[Tensor]:
        return self.network(image)

    def branch(self, shared: list[Tensor], tasks=None) -> Features:
        return Features({task: shared for task in wanted_of(self.task_names, tasks)})

    def pictures(self) -> list[Heatmap]:
        values = [[float(gate > 0) for gate in self.gates], [math.nan] * 8]
        return [Heatmap("open", "Open gates", list(self.task_names), [f"g{i}" for i in range(8)], values)]

    def deploy(self) -> nn.Module:
        return Deployed(self)


class Deployed(nn.Module):
    """Trunk and the channels that stayed."""

    def __init__(self, pruner: ChancePruner) -> None:
        super().__init__()
        self.network, self.task_names = pruner.network, pruner.task_names
        self.side = nn.Conv2d(3, int((pruner.gates > 0).sum()), 1)

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        first, *others = self.network(image)
        first = first + 0 * self.side(image).mean()
        return {task: [first, *others] for task in self.task_names}
'''


def _comparison(cache: Path, **rows: dict[str, Any]) -> Comparison:
    base = {
        "data": {"name": "rooms", "size": "tiny", "train": 4, "val": 4, "test": 4, "shifted": 4, "cache": str(cache)},
        "tasks": ["segmentation", "depth"],
        "backbone": {"name": "timm", "model": "test_resnet"},
        "decoder": {"name": "independent", "head": "linear"},
        "train": {"epochs": 1, "batch_size": 4, "interference_every": 1, "affinity_every": 1},
    }
    return Comparison(base, {"single": {"encoder": {"name": "single_task"}}, **rows}, "single", [0, 1], panels=0)


@pytest.mark.slow
def test_costs_of_every_seed_budgets_curves_and_pictures_are_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "chance_pruner.py").write_text(PRUNER)
    monkeypatch.setattr(encoders, "__path__", [*encoders.__path__, str(tmp_path / "room")])
    pruned = {"encoder": {"name": "chance_pruner", "budget": "0.4x"}, "curve": "Chance", "title": "Chance 0.4"}
    comparison = _comparison(tmp_path / "cache", pruned=pruned)
    comparison.latency_rounds = comparison.step_rounds = 1
    compare(comparison, tmp_path / "out", progress=False, console=Console(quiet=True))
    results = load_results(tmp_path / "out" / "results.json")
    single, row = results.rows
    macs = [seed.macs for seed in row.seeds]
    assert macs[0] != macs[1], "another network per seed"
    assert row.cost.deployed.macs == pytest.approx(sum(macs) / 2)
    assert row.cost.step is not None
    assert row.cost.step.median_ms > 0
    assert row.cost.step.memory > 0
    assert row.cost.deployed.flops == pytest.approx(sum(macs))
    assert row.cost.deployed.params == pytest.approx(sum(seed.params for seed in row.seeds) / 2)
    assert len({seed.macs for seed in single.seeds}) == 1
    assert (row.title, row.curve, single.curve) == ("Chance 0.4", "Chance", "")
    assert (row.budget, row.target_macs) == ("0.4x", 1.0e6)
    assert single.budget is None
    assert math.isnan(single.target_macs)
    assert math.isnan(row.target_latency_ms)
    (picture,) = row.pictures
    assert picture.rows == ["segmentation", "depth"]
    assert set(picture.values[0]) <= {0.0, 1.0}
    assert all(map(math.isnan, picture.values[1]))
    assert single.pictures == []
    assert any("first seed" in note for note in results.protocol.notes)
    (epoch,) = results.curves["pruned"]
    assert epoch.weights == {"segmentation": 1.0, "depth": 1.0}
    assert epoch.norms.keys() == epoch.weights.keys()
    assert -1 <= epoch.cosines["segmentation~depth"] <= 1
    assert epoch.conflicts["segmentation~depth"] in (0.0, 1.0)
    logs = [json.loads(line) for run in row.run_dirs for line in (Path(run) / "log.jsonl").read_text().splitlines()]
    felt = [record["affinity"]["depth>segmentation"] for record in logs if record["event"] == "epoch"]
    assert row.affinity["depth"]["segmentation"] == pytest.approx(sum(felt) / 2)
    assert len(felt) == 2, "one per seed"
    assert set(results.curves["single"][0].cosines.values()) <= {0.0}, "nothing is shared"
    assert single.affinity == {}


def test_the_curve_is_no_key_of_an_experiment_and_must_be_a_text(tmp_path: Path) -> None:
    experiments = row_experiments(_comparison(tmp_path, a={"curve": "Method", "title": "A"}), 0)
    assert list(experiments) == ["single", "a"]
    with pytest.raises(UserError, match="'curve' of row 'a' must be a text"):
        row_experiments(_comparison(tmp_path, a={"curve": ["Method"]}), 0)
    with pytest.raises(UserError, match="'title' of row 'a' must be a text"):
        row_experiments(_comparison(tmp_path, a={"title": None}), 0)
