"""Scalarizers: values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.balancing import BALANCERS, Balancer, ForwardPass, RepresentationCut
from frugalmtl.balancing.scalarization.fixed import Fixed
from frugalmtl.balancing.scalarization.uncertainty import Uncertainty
from frugalmtl.balancing.scalarization.uniform import Uniform
from frugalmtl.core.checks import UserError
from frugalmtl.losses import LOSSES, is_of_classes, task_losses
from tests.support.tiny_training import build_batch, build_model, tasks


def losses() -> dict[str, Tensor]:
    values = {"segmentation": 2.0, "depth": 0.5, "edges": 0.1}
    return {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}


def step(balancer: Balancer, values: dict[str, Tensor]) -> tuple[float, list[float]]:
    """What goes back, and the weights; gradients are left at losses and balancer."""
    total = []

    def backward(loss: Tensor) -> None:
        total.append(loss.item())
        loss.backward()

    balance = balancer.backward(ForwardPass(nn.Module(), values, None, None, backward))
    assert list(balance.weights) == list(values)
    return total[0], [float(weight) for weight in balance.weights.values()]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, 2.0 + 0.5 + 50 * 0.1),
        ("uniform", 2.6),
        ({"edges": 2.0}, 2.0 + 0.5 + 0.2),
        ({"segmentation": 0.0, "depth": 4.0, "edges": 1.0}, 2.1),
    ],
)
def test_fixed_weights_default_to_the_protocol(weights: Any, expected: float) -> None:
    assert step(Fixed(tasks(), weights=weights), losses())[0] == pytest.approx(expected)


def test_uniform_counts_every_task_once() -> None:
    total, weights = step(Uniform(tasks()), losses())
    assert total == pytest.approx(2.6)
    assert weights == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("normalise", "total"), [("sum", 3.0), ("mean", 1.0)])
def test_weights_are_rescaled_on_demand(normalise: Any, total: float) -> None:
    weights = step(Fixed(tasks(), normalise=normalise), losses())[1]
    assert weights == pytest.approx([total * weight / 52 for weight in (1, 1, 50)])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"dept": 1.0}, "Did you mean 'depth'"),
        ({"depth": -1.0}, "0 or more"),
        ({"depth": float("nan")}, "the weight of task 'depth' must be 0 or more, but got nan"),
        ({"depth": float("inf")}, "the weight of task 'depth' must be finite"),
        (dict.fromkeys(("segmentation", "depth", "edges"), 0.0), "weights are all 0: give at least one"),
        ("even", "weights"),
    ],
)
@pytest.mark.parametrize("name", ["fixed", "uncertainty", "pcgrad"])
def test_weights_that_do_not_fit_are_refused(name: str, weights: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        BALANCERS.build({"name": name, "weights": weights}, tasks())


def test_uncertainty_by_hand() -> None:
    """s = (ln 4, 0, -ln 2): the weights are 1 / (2 sigma^2)."""
    balancer = Uncertainty(tasks())
    with torch.no_grad():
        for name, value in {"segmentation": math.log(4), "depth": 0.0, "edges": -math.log(2)}.items():
            balancer.log_variance[name].fill_(value)
    total, weights = step(balancer, losses())
    assert total == pytest.approx(2.0 / 8 + 0.5 / 2 + 0.1, rel=1e-6)
    assert weights == pytest.approx([0.125, 0.5, 1.0])
    regulariser = balancer.regulariser(torch.tensor([2.0, 0.5, 0.1]))
    assert regulariser.item() == pytest.approx(math.log(4) / 2 - math.log(2) / 2)


def test_kendalls_form_doubles_the_weight_of_cross_entropies() -> None:
    """Those of a sigmoid too, whose labels are probabilities."""
    total, weights = step(Uncertainty(tasks(), form="kendall"), losses())
    assert weights == pytest.approx([1.0, 0.5, 1.0])
    assert total == pytest.approx(2.0 + 0.25 + 0.1)


def test_every_loss_says_whether_it_is_a_cross_entropy() -> None:
    actual = {name: is_of_classes(name) for name in LOSSES.names()}
    distances = {"l1", "normalised_l1", "dice", "lovasz"}  # the last two measure how far maps are from overlapping
    assert actual == {name: name not in distances for name in LOSSES.names()}
    assert is_of_classes({"name": "balanced_bce", "positive_weight": 0.95})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "kendal"}, "form of uncertainty must be one of 'survey', 'kendall', but got 'kendal'"),
        ({"init": math.nan}, "init of uncertainty must be finite, but got nan"),
        ({"init": math.inf}, "init of uncertainty must be finite, but got inf"),
        ({"normalise": "max"}, "normalise of uncertainty must be one of None, 'sum', 'mean', but got 'max'"),
    ],
)
def test_options_of_uncertainty_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Uncertainty(tasks(), **options)


@pytest.mark.parametrize("normalise", [None, "sum"])
def test_uncertainty_gradients_by_hand(normalise: Any) -> None:
    """d/ds (L e^-s / 2 + s / 2) = (1 - L e^-s) / 2, and d/dL = e^-s / 2, rescaled to 1 on demand."""
    balancer, values = Uncertainty(tasks(), init=0.5, normalise=normalise), losses()
    step(balancer, values)
    for name, loss in values.items():
        gradient = balancer.log_variance[name].grad
        assert gradient is not None
        assert gradient.item() == pytest.approx((1 - loss.item() * math.exp(-0.5)) / 2, rel=1e-5)
        assert loss.grad is not None
        assert loss.grad.item() == pytest.approx(1.0 if normalise else math.exp(-0.5) / 2, rel=1e-5)


def test_uncertainty_settles_where_the_variance_is_the_loss() -> None:
    balancer = Uncertainty(tasks())
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.5)
    for _ in range(400):
        optimizer.zero_grad()
        step(balancer, losses())
        optimizer.step()
    for name, loss in losses().items():
        assert balancer.log_variance[name].exp().item() == pytest.approx(loss.item(), rel=1e-3)


def test_uncertainty_takes_fixed_weights_as_a_base() -> None:
    assert step(Uncertainty(tasks(), weights=None), losses())[1] == pytest.approx([0.5, 0.5, 25.0])


def test_a_task_without_labels_leaves_its_variance_alone() -> None:
    balancer, values = Uncertainty(tasks()), losses()
    values["edges"] = torch.zeros((), requires_grad=True)
    step(balancer, values)
    assert [balancer.log_variance[name].grad.item() == 0 for name in values] == [False, False, True]


@pytest.mark.parametrize("encoder", ["shared", "stitched"])
@pytest.mark.parametrize("name", ["fixed", "uncertainty"])
def test_measuring_gradients_changes_nothing(name: str, encoder: str) -> None:
    """At the representation where tasks meet in one, at the parameters where they do not: gradients are the same."""
    actual = []
    for measure in (False, True):
        model, balancer = build_model(encoder, dropout=0.0).double().eval(), BALANCERS.build(name, tasks()).double()
        model.enter_stage("together")
        cut = RepresentationCut() if measure else None
        image = torch.rand(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
        predictions = model(image, cut)
        penalty = next(model.encoder.parameters()).square().sum()
        values = task_losses(predictions, build_batch(1), tasks())
        balance = balancer.backward(
            ForwardPass(model, values, penalty, cut, lambda loss: (loss * 8.0).backward(), 8.0, 8.0, measure=measure)
        )
        assert bool(balance.norms) == measure
        named = [*model.named_parameters(), *balancer.named_parameters()]
        actual.append({key: parameter.grad for key, parameter in named})
    assert any(gradient is not None for key, gradient in actual[0].items() if key.startswith("encoder"))
    for key, gradient in actual[0].items():
        torch.testing.assert_close(actual[1][key], gradient, rtol=1e-9, atol=1e-12, msg=key)


def test_measured_norms_are_those_of_unweighted_losses() -> None:
    norms = []
    for weights in ("uniform", {"segmentation": 3.0, "depth": 0.0, "edges": 0.5}):
        model, balancer = build_model("shared", dropout=0.0).eval(), Fixed(tasks(), weights=weights)
        cut = RepresentationCut()
        batch = build_batch(1)
        values = task_losses(model(batch.image, cut), batch, tasks())
        norms.append(balancer.backward(ForwardPass(model, values, None, cut, Tensor.backward, measure=True)).norms)
    assert list(norms[0]) == ["segmentation", "depth", "edges"]
    assert norms[1] == pytest.approx({name: norms[0][name] for name in ("segmentation", "edges")})
