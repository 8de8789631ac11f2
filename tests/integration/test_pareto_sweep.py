"""The front of models that one sweep over preferences gives: its config."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.comparison.run_grid import RunGrid
from frugalmtl.experiment.config.files import parse, read_yaml
from frugalmtl.experiment.config.sweep import Sweep, expand

CONFIG = Path(__file__).parents[2] / "configs" / "rooms" / "pareto_sweep.yaml"


def read() -> Sweep:
    config = parse(Sweep, read_yaml(CONFIG), "sweep")
    # Weights in a package of their own are not installed everywhere; the smallest backbone has none.
    config.base["backbone"] = {"name": "timm", "model": "test_resnet"}
    return config


@pytest.mark.slow
def test_one_run_per_preference_is_planned(tmp_path: Path) -> None:
    config = read()
    values = config.sweep.values
    assert values is not None
    grid = RunGrid.of(expand(config, values), tmp_path / "front")
    balancers = [experiment.balancer for experiment in grid.experiments[0].values()]
    sections = [section for section in balancers if section["name"] == "pareto_mtl"]
    assert [section["preference"] for section in sections] == [0, 1, 2, 3, 4]
    assert all(type(section["preference"]) is int and section["preferences"] == 5 for section in sections)
    assert not (tmp_path / "front").exists()


def test_a_preference_that_is_none_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="preference of pareto_mtl must be one of 0 to 4, but got 5"):
        RunGrid.of(expand(read(), [5]), tmp_path / "front")
