"""Properties of every aggregator that weighs gradients, and of options that all balancers have."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from frugalmtl.balancing import BALANCERS
from frugalmtl.balancing.aggregation.pcgrad import PCGrad
from frugalmtl.balancing.gradients import Level
from frugalmtl.core.checks import UserError
from tests.support.balancing.jacobians import DEGENERATE, REGULAR, build, direction, lengths, regular, weights_of
from tests.support.tiny_training import tasks

SECTIONS: dict[str, dict[str, object]] = {
    "pcgrad": {"name": "pcgrad"},
    **{f"mgda, {kind}": {"name": "mgda", "divide_by": kind} for kind in ("none", "l2", "loss", "loss+")},
    "cagrad": {"name": "cagrad"},
    "cagrad, wide": {"name": "cagrad", "c": 1.5, "rescale": "1+c"},
    "imtl_g": {"name": "imtl_g"},
    **{f"aligned_mtl, {mode}": {"name": "aligned_mtl", "scale_mode": mode} for mode in ("min", "median", "rmse")},
    "upgrad": {"name": "upgrad"},
    "nash_mtl": {"name": "nash_mtl", "max_norm": None},
}
EVERY = pytest.mark.parametrize("name", SECTIONS)


@EVERY
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_weights_do_not_depend_on_the_scale_of_all_gradients(name: str, factor: float) -> None:
    for gradients in REGULAR:
        balancer = build(SECTIONS[name], len(gradients))
        torch.manual_seed(0)
        expected = weights_of(balancer, gradients)
        torch.manual_seed(0)
        actual = weights_of(balancer, factor * gradients)
        if name == "nash_mtl":  # its direction does not depend on the scale
            actual = actual * factor
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in SECTIONS if name != "pcgrad"])
def test_weights_do_not_depend_on_the_order_of_tasks(name: str) -> None:
    for seed, gradients in enumerate(REGULAR):
        order = np.random.default_rng(seed).permutation(len(gradients))
        losses = np.linspace(0.5, 2.0, len(gradients))
        balancer = build(SECTIONS[name], len(gradients))
        expected = weights_of(balancer, gradients, losses)[order]
        np.testing.assert_allclose(weights_of(balancer, gradients[order], losses[order]), expected, atol=1e-7)


@EVERY
@pytest.mark.parametrize("gradients", DEGENERATE)
def test_weights_are_finite(name: str, gradients: str) -> None:
    matrix = DEGENERATE[gradients]
    for factor in (1e-8, 1.0, 1e8):
        balancer = build(SECTIONS[name], len(matrix))
        actual = weights_of(balancer, factor * matrix)
        assert np.isfinite(actual).all()
        assert np.linalg.norm(actual @ matrix) * factor <= 10 * max(1.0, factor * lengths(matrix).max())


@EVERY
def test_gradients_of_integers_in_many_relations(name: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        gradients = np.round(rng.normal(size=(rng.integers(2, 6), rng.integers(2, 5))))
        actual = weights_of(build(SECTIONS[name], len(gradients)), gradients)
        assert np.isfinite(actual).all()


@EVERY
def test_one_task_alone_keeps_its_gradient(name: str) -> None:
    gradients = DEGENERATE["a single task"]
    expected = {
        "cagrad": 1.4 / (1 + 0.4**2),  # the best step of the ball is c longer than the mean
        "nash_mtl": 1.0 / lengths(gradients)[0],
    }
    np.testing.assert_allclose(weights_of(build(SECTIONS[name], 1), gradients), [expected.get(name, 1.0)], rtol=1e-6)


@EVERY
def test_a_task_without_labels_changes_nothing(name: str) -> None:
    gradients = np.insert(REGULAR[1], 1, 0.0, axis=0)
    losses = np.array([1.0, 0.0, 0.5, 2.0])
    there = [0, 2, 3]
    torch.manual_seed(0)
    actual = weights_of(build(SECTIONS[name], 4), gradients, losses)
    torch.manual_seed(0)
    expected = weights_of(build(SECTIONS[name], 3), gradients[there], losses[there])
    assert actual[1] == 0
    np.testing.assert_allclose(actual[there], expected, rtol=1e-12)


@EVERY
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_gradients_that_are_not_finite_are_passed_on(name: str, value: float) -> None:
    gradients = REGULAR[1].copy()
    gradients[0, 0] = value
    actual = weights_of(build(SECTIONS[name], 3), gradients)
    assert np.isfinite(actual).all()
    assert (actual > 0).all()


@pytest.mark.parametrize("name", ["mgda, none", "cagrad, wide", "upgrad", "nash_mtl"])
def test_no_task_is_hurt(name: str) -> None:
    conflicts = 0
    for gradients in [*REGULAR, *DEGENERATE.values()]:
        conflicts += (gradients @ gradients.T).min() < 0
        balancer = build(SECTIONS[name], len(gradients))
        rates = gradients @ direction(balancer, gradients)
        scale = lengths(gradients) * max(1.0, np.abs(weights_of(balancer, gradients)).max()) * lengths(gradients).max()
        assert (rates >= -1e-8 * scale).all()
    assert conflicts > 10


@EVERY
def test_products_that_are_rounded_below_zero_do_no_harm(name: str) -> None:
    """Inner products are summed in float32: eigenvalues may be as negative as that rounds."""
    rng = np.random.default_rng(0)
    for size in (1, 2, 3) * 10:
        gradients = regular(4, size, int(rng.integers(1000)))
        noise = 1e-6 * rng.normal(size=(4, 4)) * np.outer(lengths(gradients), lengths(gradients))
        gramian = torch.from_numpy(gradients @ gradients.T + noise + noise.T)
        actual = build(SECTIONS[name], 4).solve(gramian, torch.ones(4, dtype=torch.float64)).numpy()
        assert np.isfinite(actual).all()
        if "aligned" not in name and name != "imtl_g":  # these two may invert what is rounded
            assert np.linalg.norm(actual @ gradients) < 3 * max(2.0, lengths(gradients).sum())


class AtParametersOnly(PCGrad):
    """A method that is not defined at the representation."""

    levels: ClassVar[tuple[Level, ...]] = ("parameters",)


def test_levels_where_a_method_is_not_defined_are_refused() -> None:
    with pytest.raises(UserError, match=r"gradients_at of test_weighted_.* must be one of 'parameters', but got 'repr"):
        AtParametersOnly(tasks())
    assert AtParametersOnly(tasks(), gradients_at="parameters").gradients_at == "parameters"


@pytest.mark.parametrize("name", [name for name in BALANCERS.names() if "normalise" in BALANCERS.schema(name)])
def test_unknown_ways_to_normalise_are_refused(name: str) -> None:
    """By the constructor itself, which nothing else checks."""
    with pytest.raises(UserError, match=f"normalise of {name} must be one of None, 'sum', 'mean', but got 'max'"):
        BALANCERS.get(name)(tasks(), normalise="max")


@pytest.mark.parametrize("name", [name for name in BALANCERS.names() if "gradients_at" in BALANCERS.schema(name)])
def test_unknown_levels_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"gradients_at of {name} must be one of .*, but got 'heads'"):
        BALANCERS.get(name)(tasks(), gradients_at="heads")


@pytest.mark.parametrize("name", [name for name in BALANCERS.names() if "weights" in BALANCERS.schema(name)])
def test_weights_that_weigh_nothing_are_refused(name: str) -> None:
    member = BALANCERS.get(name)
    with pytest.raises(UserError, match="the weight of task 'depth' must be finite, but got inf"):
        member(tasks(), weights={"depth": float("inf")})
    with pytest.raises(UserError, match="weights are all 0: give at least one task a weight above 0"):
        member(tasks(), weights=dict.fromkeys((task.name for task in tasks()), 0.0))
