"""Nash-MTL: the bargaining equation, clipping, and what is kept between steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frugalmtl.balancing.aggregation.nash_mtl import NashMTL, bargain
from frugalmtl.core.checks import UserError
from tests.support.balancing.jacobians import DEGENERATE, REGULAR, build, direction, lengths, many_tasks, weights_of
from tests.support.balancing.task_gradients import backward, plain, take
from tests.support.tiny_training import build_model, tasks

FREE: dict[str, object] = {"name": "nash_mtl", "max_norm": None}


def test_weights_solve_the_bargaining_equation() -> None:
    for gradients in [*REGULAR, DEGENERATE["one much longer"], DEGENERATE["one much shorter"]]:
        weights = weights_of(build(FREE, len(gradients)), gradients)
        assert (weights > 0).all()
        np.testing.assert_allclose(gradients @ gradients.T @ weights * weights, 1.0, rtol=1e-5)
        actual = direction(build(FREE, len(gradients)), gradients)
        assert np.linalg.norm(actual) == pytest.approx(np.sqrt(len(gradients)), rel=1e-5)


def test_two_tasks_have_a_closed_form() -> None:
    """``a_t = 1 / (||g_t|| sqrt(1 + cos))``."""
    for seed in range(20):
        gradients = np.random.default_rng(seed).normal(size=(2, 4)) * [[1.0], [50.0]]
        cosine = gradients[0] @ gradients[1] / lengths(gradients).prod()
        expected = 1.0 / (lengths(gradients) * np.sqrt(1.0 + cosine))
        np.testing.assert_allclose(weights_of(build(FREE, 2), gradients), expected, rtol=1e-6)


def test_a_longer_gradient_changes_its_own_weight_alone() -> None:
    before = weights_of(build(FREE), REGULAR[1])
    after = weights_of(build(FREE), REGULAR[1] * [[1e4], [1.0], [1.0]])
    np.testing.assert_allclose(after, before * [1e-4, 1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_equal_gradients_share_evenly(count: int, factor: float) -> None:
    """``G a = 1 / a`` with all products ``|g|^2``: ``a = 1 / (|g| sqrt(T))``."""
    gradients = factor * np.tile(DEGENERATE["identical"][:1], (count, 1))
    expected = 1.0 / (lengths(gradients) * np.sqrt(count))
    np.testing.assert_allclose(weights_of(build(FREE, count), gradients), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["opposed", "opposed, of other length", "surrounding zero"])
def test_where_there_is_no_bargain_the_direction_vanishes(name: str) -> None:
    gradients = DEGENERATE[name]
    weights = weights_of(build(FREE, len(gradients)), gradients)
    assert (weights * lengths(gradients) < 1.001e4 * np.sqrt(len(gradients))).all()
    assert np.linalg.norm(weights @ gradients) < 1e-3


def test_newton_steps_converge_for_any_rank() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = int(rng.integers(1, 8))
        units = rng.normal(size=(count, int(rng.integers(1, count + 1))))
        units /= lengths(units)[:, None]
        matrix = units @ units.T + 1e-8 * np.eye(count)
        actual = bargain(matrix)
        assert (actual > 0).all()
        np.testing.assert_allclose(matrix @ actual * actual, 1.0, atol=1e-5)


def test_a_task_whose_gradient_vanishes_has_no_weight() -> None:
    gradients = DEGENERATE["one zero"]
    weights = weights_of(build(FREE), gradients)
    assert weights[1] == 0
    np.testing.assert_allclose(weights[[0, 2]], weights_of(build(FREE, 2), gradients[[0, 2]]), rtol=1e-9)


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_the_direction_is_clipped_at_its_true_norm(factor: float) -> None:
    for gradients in REGULAR:
        free = direction(build(FREE, len(gradients)), factor * gradients)
        for bound in (0.5, 1.0, 3.0):
            actual = direction(build({"name": "nash_mtl", "max_norm": bound}, len(gradients)), factor * gradients)
            np.testing.assert_allclose(actual, free * min(1.0, bound / np.linalg.norm(free)), rtol=1e-6, atol=1e-9)


def test_clipping_gives_way_to_normalising() -> None:
    weights = weights_of(build({"name": "nash_mtl", "normalise": "sum"}), 1e3 * REGULAR[1])
    assert weights.sum() == pytest.approx(3.0)


def test_weights_are_kept_between_updates_and_survive_an_interruption() -> None:
    def solve(balancer: NashMTL, step: int, losses: list[float]) -> torch.Tensor:
        gradients = torch.from_numpy(REGULAR[4 * (step % 4) + 1])
        return balancer.solve(gradients @ gradients.T, torch.tensor(losses, dtype=torch.float64))

    def fresh() -> NashMTL:
        return NashMTL(many_tasks(3), update_every=3, max_norm=None)

    balancer = fresh()
    whole = [solve(balancer, step, [1.0, 1.0, 1.0]) for step in range(7)]
    for first, *others in (whole[:3], whole[3:6]):
        for other in others:
            torch.testing.assert_close(other, first, rtol=1e-6, atol=0)  # kept in float32
    assert not torch.allclose(whole[0], whole[3])
    for stop in range(1, 7):
        one, other = fresh(), fresh()
        for step in range(stop):
            solve(one, step, [1.0, 1.0, 1.0])
        other.load_state_dict(one.state_dict())
        torch.testing.assert_close(solve(other, stop, [1.0, 1.0, 1.0]), whole[stop], rtol=0, atol=0)


def test_kept_weights_are_of_the_tasks_that_were_there() -> None:
    balancer = NashMTL(many_tasks(3), update_every=2, max_norm=None)
    gradients = torch.from_numpy(REGULAR[1])
    gramian, ones = gradients @ gradients.T, torch.ones(3, dtype=torch.float64)
    absent = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    partly = gramian * absent * absent[:, None]
    first = balancer.solve(gramian, ones)
    torch.testing.assert_close(balancer.solve(partly, absent), first * absent)
    third = balancer.solve(partly, absent)
    fourth = balancer.solve(gramian, ones)
    assert third[1] == 0
    torch.testing.assert_close(fourth, torch.where(absent == 0, first, third))


def test_gradients_that_are_not_finite_are_not_remembered() -> None:
    balancer = NashMTL(many_tasks(3))
    before = {name: value.clone() for name, value in balancer.state_dict().items()}
    balancer.solve(torch.full((3, 3), float("inf"), dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    balancer.solve(torch.zeros(3, 3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    for name, value in balancer.state_dict().items():
        torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize("options", [{"max_norm": 0.0}, {"max_norm": -1.0}, {"max_norm": np.inf}, {"update_every": 0}])
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(options))} of nash_mtl must be"):
        NashMTL(tasks(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("max_norm", [None, 0.1, 1.0])
@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_between_updates_the_trunk_is_traversed_once(max_norm: float | None, penalty: bool, scale: float) -> None:
    """Kept weights need no gradient per task at the parameters; what reaches those is their sum, clipped anew."""
    model = build_model("shared", dropout=0.0).double().eval()
    passes: list[int] = []
    next(model.encoder.parameters()).register_hook(lambda gradient: passes.append(1))
    balancer = NashMTL(tasks(), update_every=2, max_norm=max_norm)
    backward(model, balancer)
    take(model)
    first, _ = len(passes), passes.clear()
    backward(model, balancer, scale=scale, penalty=penalty)
    actual = take(model)
    assert (first, len(passes)) == (3, 1) or penalty
    weights = dict(zip((task.name for task in tasks()), balancer.kept.double().tolist(), strict=True))
    direction = {name: value for name, value in plain(model, weights).items() if name.startswith("encoder")}
    everything = plain(model, weights, penalty=penalty)
    norm = torch.nn.utils.get_total_norm([value for value in direction.values() if value is not None])
    factor = 1.0 if max_norm is None else min(1.0, max_norm / float(norm))
    assert max_norm is None or factor < 1
    for name, gradient in actual.items():
        if name.startswith("encoder"):
            before, total = direction[name], everything[name]
            assert before is not None
            assert total is not None
            expected = scale * (total - before + factor * before)
            torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9 * scale, msg=name)


@pytest.mark.parametrize("level", ["representation", "parameters"])
def test_kept_weights_are_clipped_for_every_step_by_itself(level: str) -> None:
    """As the authors' code does: their norm of 1 holds in every step, also where gradients have grown since."""
    model = build_model("shared", dropout=0.0).double().eval()
    balancer = NashMTL(tasks(), update_every=3, gradients_at=level)  # type: ignore[arg-type]
    seen = []
    for factor in (1.0, 10.0, 100.0):
        report = backward(model, balancer, factor=factor)
        seen.append([factor * float(weight) for weight in report.weights.values()])
        take(model)
    np.testing.assert_allclose(seen[1:], [seen[0], seen[0]], rtol=1e-5)


def test_kept_weights_are_those_before_clipping() -> None:
    gradients = torch.from_numpy(REGULAR[1])
    gramian, ones = gradients @ gradients.T, torch.ones(3, dtype=torch.float64)
    clipped, free = NashMTL(many_tasks(3), update_every=2), NashMTL(many_tasks(3), update_every=2, max_norm=None)
    first = clipped.solve(gramian, ones)
    assert float((first @ gradients).norm()) == pytest.approx(1.0)
    torch.testing.assert_close(free.solve(gramian, ones).float(), clipped.kept)
    small = clipped.solve(1e-6 * gramian, ones)  # a thousandth of the gradients: nothing to clip
    torch.testing.assert_close(small.float(), clipped.kept)
