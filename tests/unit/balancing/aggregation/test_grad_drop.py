"""GradDrop against torchjd's (at the parameters) and the paper's formulas in NumPy (at the representation)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchjd.aggregation as torchjd
from torch import Tensor

from frugalmtl.balancing import ForwardPass
from frugalmtl.balancing.aggregation import grad_drop
from frugalmtl.balancing.aggregation.grad_drop import GradDrop
from frugalmtl.balancing.gradients import AtRepresentation, RepresentationCut
from frugalmtl.core.checks import UserError
from tests.support.balancing.jacobians import DEGENERATE, many_tasks
from tests.support.balancing.task_gradients import LEVELS, Recording, backward, take
from tests.support.tiny_training import build_batch, build_model, tasks

Array = npt.NDArray[np.float64]


@pytest.mark.parametrize("leak", [0.0, 0.3, {"depth": 1.0}])
def test_equals_torchjd_with_the_same_draws(leak: Any) -> None:
    gradients = torch.randn(3, 400, generator=torch.Generator().manual_seed(1)).double()
    shares = [leak.get(task.name, 0.0) if isinstance(leak, dict) else leak for task in tasks()]
    reference = torchjd.GradDrop(leak=torch.tensor(shares).double())
    torch.manual_seed(3)
    actual = GradDrop(tasks(), leak=leak).aggregate(gradients)
    torch.manual_seed(3)
    torch.testing.assert_close(actual, reference(gradients))
    assert not torch.allclose(actual, gradients.sum(dim=0))


def test_the_order_of_tasks_does_not_matter() -> None:
    gradients = torch.randn(3, 100, generator=torch.Generator().manual_seed(2)).double()
    order = [2, 0, 1]
    leak = {"depth": 0.5}
    torch.manual_seed(0)
    actual = GradDrop(tasks(), leak=leak).aggregate(gradients)
    torch.manual_seed(0)
    turned = GradDrop([tasks()[index] for index in order], leak=leak).aggregate(gradients[order])
    torch.testing.assert_close(actual, turned)


@pytest.mark.parametrize("leak", [0.0, 0.3])
@pytest.mark.parametrize("draw", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("name", [name for name, gradients in DEGENERATE.items() if len(gradients) <= 3])
def test_degenerate_gradients_by_the_formula(
    name: str, draw: float, leak: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign wins where the draw says so; a gradient of 0 adds nothing whatever it is multiplied with."""
    monkeypatch.setattr(grad_drop.torch, "rand", lambda *shape, **kinds: torch.full(*shape, draw, **kinds))
    gradients = DEGENERATE[name]
    sizes = np.abs(gradients).sum(axis=0)
    purity = np.where(sizes > 0, 0.5 * (1 + gradients.sum(axis=0) / np.where(sizes > 0, sizes, 1.0)), 0.5)
    masks = np.where(gradients > 0, draw < purity, draw >= purity)
    expected = ((leak + (1 - leak) * masks) * gradients).sum(axis=0)
    balancer = GradDrop(many_tasks(len(gradients)), leak=leak)
    actual = balancer.aggregate(torch.from_numpy(gradients)).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def test_gradients_that_agree_are_added_whatever_is_drawn() -> None:
    gradients = torch.rand(3, 1000) * torch.tensor([1.0, -1.0]).repeat(500)
    torch.testing.assert_close(GradDrop(tasks()).aggregate(gradients), gradients.sum(dim=0))


def sent(balancer: GradDrop, activations: list[Array], gradients: list[Array], scale: float = 1.0) -> list[Array]:
    """What GradDrop sends from a cut into the trunk; ``[B, C, H, W]`` and ``[T, B, C, H, W]`` per batch."""
    store = AtRepresentation()
    trunks = []
    for values, rows in zip(activations, gradients, strict=True):
        trunk = torch.from_numpy(values).requires_grad_()
        cut = RepresentationCut()
        (leaf,) = cut([trunk * 1.0])
        losses = [(leaf * torch.from_numpy(row)).sum() for row in rows]
        names = [task.name for task in tasks()]
        store.add(
            ForwardPass(torch.nn.Identity(), dict(zip(names, losses, strict=True)), None, cut, Tensor.backward), losses
        )
        trunks.append(trunk)
    ones = torch.ones(len(gradients[0]))
    balancer.direct(store, ones, ones)
    return [trunk.grad.numpy() for trunk in trunks if trunk.grad is not None]


def formula(activations: Array, gradients: Array, draw: float, *, sign: bool = True, batch: bool = True) -> Array:
    """Chen et al. 2020, algorithm 1, with the same U at every position."""
    signals = gradients * np.sign(activations) if sign else gradients
    if batch:
        signals = signals.sum(axis=1, keepdims=True)
    purity = 0.5 * (1 + signals.sum(axis=0) / np.abs(signals).sum(axis=0))
    masks = np.where(signals > 0, purity > draw, purity < draw)
    return (masks * gradients).sum(axis=0)


def problem(batch: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(batch, 4, 3, 3)), rng.normal(size=(3, batch, 4, 3, 3))


@pytest.mark.parametrize(("sign", "batch"), [(True, True), (False, True), (True, False), (False, False)])
def test_the_representation_gets_the_papers_direction(sign: bool, batch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grad_drop.torch, "rand", lambda *shape, **kinds: torch.full(*shape, 0.4, **kinds))
    activations, gradients = problem(5)
    balancer = GradDrop(tasks(), activation_sign=sign, batch_sum=batch)
    (actual,) = sent(balancer, [activations], [gradients])
    np.testing.assert_allclose(actual, formula(activations, gradients, 0.4, sign=sign, batch=batch))
    others = [(True, True), (False, True), (True, False)]
    for other in [pair for pair in others if pair != (sign, batch)]:
        assert not np.allclose(actual, formula(activations, gradients, 0.4, sign=other[0], batch=other[1]))


def test_every_position_draws_by_itself_once_for_all_samples() -> None:
    gradients = np.broadcast_to(np.array([2.0, -1.0, -1.0]).reshape(3, 1, 1, 1, 1), (3, 4, 10, 10, 10)).copy()
    torch.manual_seed(0)
    (actual,) = sent(GradDrop(tasks()), [np.ones((4, 10, 10, 10))], [gradients])
    assert set(np.unique(actual)) == {-2.0, 2.0}
    assert all(np.array_equal(actual[0], sample) for sample in actual)
    assert 0.45 < (actual[0] > 0).mean() < 0.55


def test_accumulated_batches_have_the_masks_of_the_joint_batch() -> None:
    activations, gradients = problem(6)
    torch.manual_seed(0)
    (whole,) = sent(GradDrop(tasks()), [activations], [gradients])
    torch.manual_seed(0)
    parts = sent(GradDrop(tasks()), [activations[:2], activations[2:]], [gradients[:, :2], gradients[:, 2:]])
    np.testing.assert_allclose(np.concatenate(parts), whole)


def test_activations_without_a_sign_keep_the_gradients() -> None:
    activations, gradients = problem(2)
    activations[:, 0] = 0.0
    (actual,) = sent(GradDrop(tasks()), [activations], [gradients])
    np.testing.assert_allclose(actual[:, 0], gradients.sum(axis=0)[:, 0])


@pytest.mark.parametrize("level", LEVELS)
def test_one_task_alone_keeps_its_gradient(level: Any) -> None:
    """The others have weight 0."""
    others = {"depth": 0.0, "edges": 0.0}
    model = build_model("shared", dropout=0.0).double().eval()
    backward(model, Recording(level, {"segmentation": 1.0, **others}))
    plain = take(model)
    backward(model, GradDrop(tasks(), gradients_at=level, weights={"segmentation": 1.0, **others}))
    for name, gradient in take(model).items():
        torch.testing.assert_close(gradient, plain[name], msg=name)


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_the_trunk_gets_torchjds_direction_at_the_parameters(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *shape, **kinds: torch.full(*shape, 0.4, **kinds))
    monkeypatch.setattr(
        "tests.support.balancing.task_gradients.image_of", lambda model: torch.ones(2, 3, 6, 6).double()
    )
    model = build_model("shared", dropout=0.0).double().eval()
    recording = Recording("parameters")
    monkeypatch.setattr("tests.support.balancing.task_gradients.build_batch", lambda seed: BATCH)
    backward(model, recording)
    plain = take(model)
    backward(model, GradDrop(tasks(), gradients_at="parameters"), scale=scale)
    actual = take(model)
    expected = torchjd.GradDrop()(recording.seen[0])
    trunk = torch.cat([actual[name].reshape(-1) for name in actual if name.startswith("encoder")])
    torch.testing.assert_close(trunk, expected * scale)
    for name in [name for name in plain if name.startswith("decoder")]:
        torch.testing.assert_close(actual[name], plain[name] * scale, msg=name)


BATCH = build_batch(1)


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_finite_is_carried_on(level: Any) -> None:
    model = build_model("shared", dropout=0.0).double()
    balancer = GradDrop(tasks(), gradients_at=level)
    cut = balancer.cut()
    predictions = model(build_batch(1).image.double(), cut)
    losses = {name: raw.mean() for name, raw in predictions.by_task.items()}
    losses["depth"] = losses["depth"] * float("inf")
    balancer.backward(ForwardPass(model, losses, None, cut, Tensor.backward))
    gradient = take(model)["encoder.trunk.0.0.weight"]
    assert gradient is not None
    assert not gradient.isfinite().all()


def test_the_mean_is_the_sum_divided_by_the_tasks() -> None:
    gradients = torch.randn(3, 50)
    directions = []
    for normalise in ("sum", "mean", None):
        torch.manual_seed(1)
        directions.append(GradDrop(tasks(), normalise=normalise).aggregate(gradients))  # type: ignore[arg-type]
    torch.testing.assert_close(directions[0], directions[1] * 3)
    torch.testing.assert_close(directions[0], directions[2])


def test_mistakes() -> None:
    with pytest.raises(UserError, match="Did you mean 'depth'"):
        GradDrop(tasks(), leak={"deph": 0.5})
    with pytest.raises(UserError, match=r"leak of grad_drop for 'edges' must lie in \[0, 1\]"):
        GradDrop(tasks(), leak={"edges": 1.5})
    with pytest.raises(UserError, match="leak of grad_drop for 'segmentation' must lie in"):
        GradDrop(tasks(), leak=float("nan"))
    with pytest.raises(UserError, match="leak of grad_drop for 'segmentation' must lie in"):
        GradDrop(tasks(), leak=-0.1)
