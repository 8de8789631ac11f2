"""One loss per task, deep supervision included."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.core.registry import Spec
from frugalmtl.core.types import Auxiliary, Batch, Predictions
from frugalmtl.losses import Criterion, task_losses
from frugalmtl.losses.bce import bce
from frugalmtl.losses.l1 import l1
from frugalmtl.tasks import TASKS

DEPTH = TASKS.build("depth")
HELPER = replace(TASKS.build("depth"), name="helper", auxiliary=True)


def batch() -> Batch:
    names = ("depth", "helper")
    labels = {name: torch.rand(2, 1, 4, 4) for name in names}
    return Batch(torch.rand(2, 3, 4, 4), labels, dict.fromkeys(names, torch.ones(2, 4, 4).bool()))


def test_auxiliary_predictions_add_to_their_task_and_are_logged_apart() -> None:
    data, raw = batch(), [torch.randn(2, 1, 4, 4) for _ in range(4)]
    initial, coarse = Auxiliary({"depth": raw[1], "helper": raw[2]}), Auxiliary({"depth": raw[3]})
    predictions = Predictions({"depth": raw[0]}, {"initial": initial, "coarse": coarse})
    losses = Criterion((DEPTH, HELPER))(predictions, data)
    sources = {"depth": 0, "depth@initial": 1, "helper@initial": 2, "depth@coarse": 3}
    single = {
        name: l1(raw[index], data.targets[name.split("@")[0]], data.valid[name.split("@")[0]])
        for name, index in sources.items()
    }
    assert list(losses.by_task) == ["depth", "helper"]
    assert losses.parts == single
    torch.testing.assert_close(
        losses.by_task["depth"], single["depth"] + single["depth@initial"] + single["depth@coarse"]
    )
    torch.testing.assert_close(losses.by_task["helper"], single["helper@initial"])
    assert task_losses(predictions, data, (DEPTH, HELPER)) == losses.by_task


def test_a_task_without_any_prediction_is_a_defect() -> None:
    with pytest.raises(KeyError, match="helper"):
        task_losses(Predictions({"depth": torch.randn(2, 1, 4, 4)}), batch(), (DEPTH, HELPER))


def test_unknown_losses_and_arguments_are_refused_at_once() -> None:
    with pytest.raises(UserError, match="unknown loss 'l3'"):
        Criterion((replace(DEPTH, loss=Spec("l3")),))
    with pytest.raises(UserError, match="loss 'l1' has no options, but got 'weight'"):
        Criterion((replace(DEPTH, loss=Spec("l1", {"weight": 2})),))


def test_auxiliary_outputs_have_a_loss_and_a_weight_of_their_own() -> None:
    data, raw = batch(), [torch.randn(2, 1, 4, 4) for _ in range(2)]
    section = {"name": "bce"}
    predictions = Predictions({"depth": raw[0]}, {"nearness": Auxiliary({"depth": raw[1]}, section, 0.25)})
    criterion = Criterion((DEPTH,))
    losses = criterion(predictions, data)
    expected = 0.25 * bce(raw[1], data.targets["depth"], data.valid["depth"])
    torch.testing.assert_close(losses.parts["depth@nearness"], expected)
    torch.testing.assert_close(losses.by_task["depth"], losses.parts["depth"] + expected)
    predictions.auxiliary["nearness"].loss = "l1"
    expected = 0.25 * l1(raw[1], data.targets["depth"], data.valid["depth"])
    torch.testing.assert_close(criterion(predictions, data).parts["depth@nearness"], expected)


def test_the_activation_of_a_task_belongs_to_its_own_loss() -> None:
    task, data, raw = TASKS.build({"name": "depth", "output": "log"}), batch(), torch.randn(2, 1, 4, 4)
    predictions = Predictions(
        {"depth": raw}, {"same": Auxiliary({"depth": raw}), "plain": Auxiliary({"depth": raw}, "l1")}
    )
    parts = Criterion((task,))(predictions, data).parts
    torch.testing.assert_close(parts["depth@same"], parts["depth"])
    torch.testing.assert_close(parts["depth"], l1(raw.exp(), data.targets["depth"], data.valid["depth"]))
    torch.testing.assert_close(parts["depth@plain"], l1(raw, data.targets["depth"], data.valid["depth"]))


def test_an_unknown_loss_of_auxiliary_outputs_is_refused() -> None:
    raw = torch.randn(2, 1, 4, 4)
    with pytest.raises(UserError, match="unknown loss 'l3'"):
        Criterion((DEPTH,))(Predictions({"depth": raw}, {"other": Auxiliary({"depth": raw}, "l3")}), batch())
