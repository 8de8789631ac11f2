"""AdaShare's heat maps, and balancers in the turns of its search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from frugalmtl.balancing import BALANCERS
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch
from frugalmtl.encoders.adashare.pictures import correlation
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.launch import local_fabric
from frugalmtl.engine.stages.modes import enter_first_step
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.model import MultiTaskModel
from tests.support.views.adashare import SIDE, decided, searching, set_odds, sharing, toy_model

ROWS = [[1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1]]


def test_policies_probabilities_and_correlations_are_drawn() -> None:
    encoder = sharing(curriculum_speed=2)
    for cycle in range(3):
        set_odds(encoder, cycle)
        searching(encoder, "weights", cycle)
    maps = {picture.name: picture for picture in decided(encoder, ROWS).pictures()}
    assert list(maps) == ["policy", "run_probability", "search_1", "search_2", "search_3", "policy_correlation"]
    assert maps["policy"].values == ROWS
    assert maps["policy"].columns == list(encoder.gated)
    far = maps["search_2"]
    assert "far" in far.title
    assert far.rows == ["cycle 1", "cycle 2", "cycle 3"]
    assert far.values[0][:5] == [1.0] * 5
    assert far.values[2][:4] == [1.0] * 4
    assert far.values[2] == pytest.approx(maps["run_probability"].values[1])
    assert np.allclose(np.diag(maps["policy_correlation"].values), 1.0)


def test_a_policy_that_was_not_searched_has_no_history() -> None:
    names = [picture.name for picture in decided(sharing(policy="random"), ROWS).pictures()]
    assert names == ["policy", "run_probability", "policy_correlation"]


def test_correlation_is_pearsons_and_empty_for_constant_rows() -> None:
    rows = np.random.default_rng(0).random((3, 9))
    assert np.allclose(correlation(rows), np.corrcoef(rows))
    rows[1] = 0.5
    computed = correlation(rows)
    assert np.isnan(computed[1]).all()
    assert computed[0, 2] == pytest.approx(np.corrcoef(rows[[0, 2]])[0, 1])


def step_in(turn: int, balancer: dict[str, Any]) -> MultiTaskModel:
    """A model after a step in one of the turns of its search."""
    model = toy_model(curriculum_speed=0)
    stage = model.recipe()[1]
    balancing = BALANCERS.build(balancer, model.tasks)
    entered = enter_first_step(model, stage, 4, stage.turns[turn])
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=0.01)
    setup = StepSetup(local_fabric(torch.device("cpu")), model, balancing, stage, TrainSettings(), optimizer)
    setup.turn = entered
    generator = torch.Generator().manual_seed(0)
    labels = {"segmentation": torch.randint(3, (2, *SIDE)), "depth": torch.rand(2, 1, *SIDE) + 0.5}
    valid = {name: torch.ones(2, *SIDE, dtype=torch.bool) for name in labels}
    image = functional.interpolate(torch.randn(2, 3, 8, 8, generator=generator), SIDE)
    take_step(setup, [Batch(image, labels, valid, ["first", "second"])])
    return model


@pytest.mark.parametrize("name", ["uniform", "pcgrad", "grad_drop"])
def test_balancers_reach_what_a_turn_trains_and_nothing_else(name: str) -> None:
    section = {"name": name, **({} if name == "uniform" else {"gradients_at": "parameters"})}
    for turn, prefixes in enumerate((("encoder.network.", "decoder."), ("encoder.policy.",))):
        for parameter_name, parameter in step_in(turn, section).named_parameters():
            assert (parameter.grad is not None) == parameter_name.startswith(prefixes), parameter_name


def test_gradients_at_the_representation_are_refused_where_tasks_do_not_meet() -> None:
    with pytest.raises(UserError, match="gradients_at to 'parameters'"):
        step_in(0, {"name": "pcgrad"})
