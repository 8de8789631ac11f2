"""Inter-task affinity: by hand, and without a trace."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.core.types import Batch
from frugalmtl.engine.affinity import affinities
from frugalmtl.engine.randomness import random_state
from frugalmtl.engine.step import StepSetup
from tests.support.steps import setup_of
from tests.support.tiny_training import TinyLoader, build_batch, build_model, run


class Point(nn.Module):
    """Two shared numbers and one that the first task has for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.shared = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
        self.encoder.own = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        x, y = self.encoder.shared
        return {"a": x * x + self.encoder.own, "b": (x - y) ** 2, "c": batch.image.mean() + 0.0 * x}


def test_by_hand() -> None:
    """At (1, 2): a = 4, b = 1, grad a = (2, 0), grad b = (-2, 2); steps are sqrt(5) / 1000 long."""
    model = Point()
    batch = build_batch(0)
    batch.image = torch.full_like(batch.image, -1.0)
    actual = affinities(model, model.losses, [batch, batch])
    step = math.sqrt(5) / 1000
    along, across = step, step / math.sqrt(2)
    expected = {
        "a>a": 1 - ((1 - along) ** 2 + 3) / 4,
        "a>b": 1 - (1 + along) ** 2,
        "b>a": 1 - ((1 + across) ** 2 + 3) / 4,
        "b>b": 1 - (1 - 2 * across) ** 2,
        "c>a": 0.0,
        "c>b": 0.0,
    }
    assert actual == pytest.approx(expected)
    assert model.encoder.shared.tolist() == [1.0, 2.0]
    assert model.encoder.shared.grad is None


def measured(setup: StepSetup, batches: list[Batch]) -> dict[str, float]:
    return affinities(setup.model, setup.losses, setup.on_device(batches))


def test_tasks_that_share_nothing_have_none() -> None:
    assert measured(setup_of(build_model("apart")), [build_batch(0)]) == {}


@pytest.mark.parametrize("encoder", ["shared", "stitched"])
def test_leaves_no_trace(encoder: str) -> None:
    model = build_model(encoder)
    model.enter_stage("together")
    model.train()
    setup = setup_of(model)
    before, drawn = (
        {name: value.clone() for name, value in model.state_dict().items()},
        random_state(torch.device("cpu")),
    )
    actual = measured(setup, [build_batch(0), build_batch(1)])
    assert {key.split(">")[0] for key in actual} == {"segmentation", "depth", "edges"}
    assert all(actual[f"{name}>{name}"] > 0 for name in ("segmentation", "depth", "edges"))
    assert [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])] == []
    assert str(random_state(torch.device("cpu"))) == str(drawn)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("settings", [{"affinity_every": 2}, {"interference_every": 1}])
def test_measuring_changes_nothing_that_is_learned(settings: dict[str, Any], tmp_path: Any) -> None:
    plain, _, _ = run(tmp_path / "plain", encoder="shared", balancer="uniform")
    measured, _, result = run(tmp_path / "measured", encoder="shared", balancer="uniform", **settings)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(measured.state_dict()[name], value, rtol=1e-5, atol=1e-6, msg=name)
    recorded = {"affinity_every": {"affinity"}, "interference_every": {"norms", "cosines", "conflicts"}}
    (setting,) = settings
    assert all(recorded[setting] <= record.keys() for record in result.history)


def test_interrupted_measurements_go_on(tmp_path: Any) -> None:
    class Interrupted(Exception):  # noqa: N818  # it is no error
        pass

    def stop(step: int) -> None:
        if step == 7:
            raise Interrupted

    more = {"affinity_every": 2, "interference_every": 3, "checkpoint_every": 1, "loader": TinyLoader()}
    _, _, whole = run(tmp_path / "whole", **more)
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", **more, on_step=stop)
    _, _, parts = run(tmp_path / "parts", **more)
    assert parts.history == whole.history
