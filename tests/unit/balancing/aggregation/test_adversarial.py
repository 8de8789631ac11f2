"""Adversarial training against cases worked by hand and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from frugalmtl.backbones.timm import Timm
from frugalmtl.balancing import ForwardPass
from frugalmtl.balancing.aggregation.adversarial import Adversarial
from frugalmtl.core.checks import UserError
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.losses import task_losses
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import DEFAULTS, TinyLoader, build_batch, build_model, tasks

NAMES = [task.name for task in tasks()]


def real(encoder: str = "hard_sharing", head: Any = "hrnet") -> MultiTaskModel:
    """An encoder of the library on a small ResNet, with batch normalisation and bilinear resizing in every head."""
    torch.manual_seed(3)
    network = ENCODERS.build(encoder, Timm(model="test_resnet"), tuple(NAMES))
    decoder = DECODERS.build({"name": "independent", "head": head}, network.channels, network.strides, tasks())
    model = MultiTaskModel(network, decoder, tasks())
    model.enter_stage(model.recipe()[-1].name)
    return model


def attached(model: nn.Module, chosen: Sequence[Any] = tasks(), **options: Any) -> Adversarial:
    torch.manual_seed(5)
    balancer = Adversarial(chosen, **options)
    balancer.attach(model)
    return balancer.to(next(model.parameters()).dtype)


def smooth_losses(model: MultiTaskModel, cut: Any, image: Tensor) -> dict[str, Tensor]:
    raw = model(image, cut).by_task
    return {name: (index + 1) * raw[name].square().mean() + raw[name].mean() for index, name in enumerate(NAMES)}


def image_of(size: int = 32, seed: int = 5) -> Tensor:
    return torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def step(
    model: MultiTaskModel,
    balancer: Adversarial,
    image: Tensor,
    *,
    scale: float = 1.0,
    loss_scale: float = 1.0,
    **more: Any,
) -> Any:
    cut = balancer.cut()
    losses = smooth_losses(model, cut, image)
    return balancer.backward(
        ForwardPass(model, losses, None, cut, lambda loss: (loss * scale).backward(), scale, loss_scale, **more)
    )


def smoothed(model: MultiTaskModel) -> MultiTaskModel:
    """Without dropout, and with GELU for ReLU: where a ReLU of a head bends, gradients jump, and ``L_D`` with them."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.GELU())
            elif isinstance(child, nn.Dropout):
                child.p = 0.0
    return model


def take(*modules: nn.Module) -> list[Tensor]:
    """Gradients, which are cleared; none counts as 0."""
    actual = [
        torch.zeros_like(item) if item.grad is None else item.grad.clone()
        for module in modules
        for item in module.parameters()
    ]
    for module in modules:
        module.zero_grad(set_to_none=True)
    return actual


def by_hand(*, alpha: float) -> Adversarial:
    """Two tasks, two channels, and a discriminator that passes on what is positive."""
    balancer = Adversarial(tasks()[:2]).double()
    first, last = nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False)
    for layer in (first, last):
        layer.weight.data = torch.eye(2)[:, :, None, None]
    balancer.discriminator = nn.Sequential(first, nn.ReLU(), last).double()
    balancer.alpha = alpha
    return balancer


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[None, :, None, None]


def test_the_discriminators_loss_by_hand() -> None:
    # (3, 4) -> (0.6, 0.8); (0, -2) -> (0, -1), of which nothing is left.
    actual = by_hand(alpha=1.0).confusion([column(3, 4), column(0, -2)], [0, 1])
    assert actual.item() == pytest.approx(math.log(1 + math.exp(0.2)) + math.log(2))


def test_every_task_counts_once_whatever_the_number_of_its_positions() -> None:
    """Positions where a gradient is 0 are left out of a task's own mean."""
    many, few = torch.randn(2, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).split(1)
    few[:, :, 1:] = 0
    few[:, :, :, 1:] = 0
    balancer = by_hand(alpha=1.0)
    apart = [balancer.confusion([gradient], [index]) for index, gradient in enumerate((many, few))]
    torch.testing.assert_close(balancer.confusion([many, few], [0, 1]), apart[0] + apart[1])
    torch.testing.assert_close(apart[1], balancer.confusion([few[:, :, :1, :1]], [1]))


def test_the_gradient_is_reversed_by_hand() -> None:
    alpha = 0.7
    gradient = column(3, 4).requires_grad_()
    by_hand(alpha=alpha).confusion([gradient], [0]).backward()
    # dL/d(0.6, 0.8) = (p - 1, 1 - p); tangential to (0.6, 0.8), divided by the norm 5, reversed.
    p = 1 / (1 + math.exp(0.2))
    slope = torch.tensor([p - 1, 1 - p], dtype=torch.float64)
    direction = torch.tensor([0.6, 0.8], dtype=torch.float64)
    expected = -alpha * (slope - (slope @ direction) * direction) / 5
    assert gradient.grad is not None
    torch.testing.assert_close(gradient.grad.flatten(), expected)


@pytest.mark.parametrize("kernel", [1, 3])
def test_positions_without_a_gradient_do_not_count_and_let_nothing_through(kernel: int) -> None:
    balancer = attached(build_model(), kernel=kernel).double()
    balancer.alpha = 1.0
    gradient = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    gradient[:, :, 1, 1] = 0
    gradient.requires_grad_()
    balancer.confusion([gradient], [1]).backward()
    assert gradient.grad is not None
    assert (gradient.grad[:, :, 1, 1] == 0).all()
    assert gradient.grad.abs().max() < 10
    if kernel == 1:
        kept = gradient.detach().flatten(2)[:, :, [0, 1, 2, 3, 5, 6, 7, 8]].unflatten(2, (2, 4))
        torch.testing.assert_close(balancer.confusion([gradient], [1]), balancer.confusion([kept], [1]))


@pytest.mark.parametrize("options", [{"kernel": 1}, {"kernel": 3, "weights": {"depth": 2.0, "edges": 0.5}}])
@pytest.mark.parametrize("head", ["hrnet", "aspp", "linear"])
def test_every_gradient_agrees_with_finite_differences(head: str, options: dict[str, Any]) -> None:
    model = smoothed(real(head=head)).double().train()
    balancer = attached(model, share=0.3, **options)
    for parameter in balancer.parameters():  # from the first values, what goes back is too small to be seen
        nn.init.normal_(parameter, std=0.3)
    balancer.enter_epoch(1, 10)
    image = image_of(64)
    step(model, balancer, image)
    to_model, to_discriminator = take(model), take(balancer)

    def values() -> tuple[float, float]:
        cut = balancer.cut()
        losses = smooth_losses(model, cut, image)
        weighted = [loss * balancer.weights[name] for name, loss in losses.items()]
        gradients = [torch.autograd.grad(loss, cut.shared[-1], retain_graph=True)[0] for loss in weighted]
        return sum(loss.item() for loss in weighted), balancer.confusion(gradients, range(3)).item()

    def slope(parameters: list[Tensor], directions: list[Tensor], objective: Callable[[float, float], float]) -> float:
        ends = []
        for sign in (1, -2):
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.data.add_(direction, alpha=sign * 1e-7)
            ends.append(objective(*values()))
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.data.add_(direction, alpha=1e-7)
        return (ends[0] - ends[1]) / 2e-7

    generator = torch.Generator().manual_seed(0)
    cases = [
        (model, to_model, lambda task, confused: 0.7 * task - balancer.alpha * 0.3 * confused),
        (balancer, to_discriminator, lambda task, confused: 0.7 * task + 0.3 * confused),
    ]
    for module, gradients, objective in cases:
        parameters = list(module.parameters())
        directions = [torch.randn(item.shape, dtype=item.dtype, generator=generator) for item in parameters]
        expected = sum((one * other).sum().item() for one, other in zip(gradients, directions, strict=True))
        assert slope(parameters, directions, objective) == pytest.approx(expected, rel=1e-4)
        assert expected != 0


def test_without_reversal_the_model_gets_the_weighted_sum() -> None:
    model = real().double().eval()
    balancer = attached(model, share=0.25)
    step(model, balancer, image_of())  # before the first epoch, alpha is 0
    actual = take(model)
    sum(smooth_losses(model, None, image_of()).values(), start=torch.zeros(())).mul(0.75).backward()
    for one, other in zip(actual, take(model), strict=True):
        torch.testing.assert_close(one, other)


def test_the_reversal_grows_over_the_run() -> None:
    balancer = Adversarial(tasks())
    actual = []
    for epoch in range(10):
        balancer.enter_epoch(epoch, 10)
        actual.append(balancer.alpha)
    assert actual[0] == pytest.approx(2 / (1 + math.exp(-1)) - 1)
    assert actual == sorted(actual)
    assert actual[-1] == pytest.approx(2 / (1 + math.exp(-10)) - 1)


def test_the_discriminator_has_the_width_that_all_heads_read_and_its_own_rate() -> None:
    for head, level in (("linear", -1), ("hrnet", -1)):
        model = real(head=head)
        balancer = attached(model, kernel=3)
        assert balancer.discriminator is not None
        assert balancer.discriminator[0].bias is None
        assert 0.005 < balancer.discriminator[0].weight.std() < 0.015
        assert balancer.discriminator[0].in_channels == model.encoder.channels[level]
        assert balancer.discriminator[2].out_channels == 3
    (group,) = balancer.groups()
    assert (group.pattern, group.lr_factor) == ("discriminator.*", 10.0)
    assert all(name.startswith("discriminator.") for name, _ in balancer.named_parameters())


@pytest.mark.parametrize(("encoder", "places"), [("cross_stitch", 1), ("single_task", 3)])
def test_tasks_with_features_of_their_own(encoder: str, places: int) -> None:
    model = real(encoder).double().eval()
    balancer = attached(model)
    balancer.enter_epoch(0, 2)
    step(model, balancer, image_of())
    # The last unit of cross-stitch lies behind the cut, so that every task reads all tensors there.
    assert len({balancer._places[name, frozenset()] for name in NAMES}) == places
    assert all(gradient.isfinite().all() for gradient in take(model, balancer))


def test_accumulated_batches_count_each_by_itself() -> None:
    model = real().double().eval()
    balancer = attached(model)
    balancer.enter_epoch(3, 5)
    sums: list[Tensor] = []
    for seed in (1, 2):
        step(model, balancer, image_of(seed=seed))
        actual = take(model, balancer)
        sums = [one + other for one, other in zip(sums, actual, strict=True)] if sums else actual
    assert step(model, balancer, image_of(seed=1), scale=0.5, last=False).weights == {}
    assert list(step(model, balancer, image_of(seed=2), scale=0.5).weights) == NAMES
    for one, other in zip(take(model, balancer), sums, strict=True):
        torch.testing.assert_close(one, other / 2)


def test_a_loss_scale_multiplies_every_gradient() -> None:
    model = real().double().eval()
    balancer = attached(model)
    balancer.enter_epoch(3, 5)
    step(model, balancer, image_of())
    plain = take(model, balancer)
    step(model, balancer, image_of(), scale=1024.0, loss_scale=1024.0)
    for one, other in zip(take(model, balancer), plain, strict=True):
        torch.testing.assert_close(one / 1024, other, rtol=1e-5, atol=1e-10)


def test_measuring_compares_the_gradients_of_unweighted_losses_over_the_step() -> None:
    model = real().double().eval()
    balancer = attached(model, weights={"depth": 2.0})
    rows = []
    for seed in (1, 2):
        cut = balancer.cut()
        losses = smooth_losses(model, cut, image_of(seed=seed))
        rows.append([torch.autograd.grad(loss / 2, cut.shared[-1], retain_graph=True)[0] for loss in losses.values()])
    joint = [torch.cat([row[index].flatten() for row in rows]) for index in range(3)]
    common = {"scale": 32.0, "loss_scale": 64.0, "measure": True}
    step(model, balancer, image_of(seed=1), **common, last=False)
    actual = step(model, balancer, image_of(seed=2), **common)
    assert actual.norms == pytest.approx({name: row.norm().item() for name, row in zip(NAMES, joint, strict=True)})
    cosine = torch.cosine_similarity(joint[0], joint[1], dim=0).item()
    assert actual.cosines[f"{NAMES[0]}~{NAMES[1]}"] == pytest.approx(cosine)


@pytest.mark.parametrize(("normalise", "total"), [(None, 3 * 0.75), ("sum", 3.0), ("mean", 1.0)])
def test_weights_are_rescaled_if_asked_for(normalise: Any, total: float) -> None:
    model = real().double().eval()
    balancer = attached(model, share=0.25, normalise=normalise)
    assert sum(step(model, balancer, image_of()).weights.values()) == pytest.approx(total)


@pytest.mark.parametrize("labelled", [[], ["depth"], ["depth", "edges"]])
def test_tasks_without_labels_are_left_out(labelled: list[str]) -> None:
    model, batch = build_model(dropout=0.0), build_batch(0)
    for name in set(NAMES) - set(labelled):
        batch.valid[name] = torch.zeros_like(batch.valid[name])
    balancer = attached(model, kernel=3)
    balancer.enter_epoch(0, 1)
    cut = balancer.cut()
    losses = task_losses(model(batch.image, cut), batch, tasks())
    balancer.backward(ForwardPass(model, losses, None, cut, Tensor.backward))
    assert balancer.discriminator is not None
    bias = balancer.discriminator[2].bias.grad
    assert all(parameter.grad is not None for parameter in (*model.parameters(), *balancer.parameters()))
    assert all(gradient.isfinite().all() for gradient in take(model, balancer))
    # Only a counted class can be pushed up: the gradient of its logit is negative.
    assert {name for name, slope in zip(NAMES, bias.tolist(), strict=True) if slope < 0} <= set(labelled)
    assert bool(bias.any()) == bool(labelled)


def test_a_trunk_that_does_not_train() -> None:
    model = real().double().eval()
    model.encoder.requires_grad_(False)
    balancer = attached(model)
    balancer.enter_epoch(0, 1)
    step(model, balancer, image_of())
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert all(parameter.grad is not None for parameter in model.decoder.parameters())


def test_attaching_leaves_the_model_alone() -> None:
    model = real().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attached(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_it_trains(tmp_path: Any) -> None:
    model = build_model()
    balancer = attached(model)
    before = [parameter.detach().clone() for parameter in balancer.parameters()]
    train(TrainJob(model, balancer, TrainSettings(**{**DEFAULTS, "epochs": 1}), {"train": TinyLoader()}, tmp_path))
    assert all(not torch.equal(old, new) for old, new in zip(before, balancer.parameters(), strict=True))


class Once(torch.autograd.Function):
    """A square whose gradient cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        ctx.save_for_backward(value)
        return value.square()

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (value,) = ctx.saved_tensors
        return 2 * value * gradient


def test_a_layer_without_second_derivatives_is_refused() -> None:
    model = real().double()
    balancer = attached(model)
    model.decoder.heads["depth"].register_forward_hook(lambda _module, _inputs, raw: Once.apply(raw))  # type: ignore
    with pytest.raises(UserError, match=r"second derivatives.*'depth'"):
        step(model, balancer, image_of())


def test_heads_that_read_no_common_level_are_refused() -> None:
    model = build_model()
    model.decoder.heads["depth"] = nn.Identity()  # type: ignore[union-attr]
    model.decoder.heads["depth"].forward = lambda feature: torch.zeros(2, 1, 6, 6)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="a level of features that the heads of all tasks read"):
        attached(model)


def test_a_model_of_another_width_is_refused() -> None:
    balancer = attached(build_model()).double()
    with pytest.raises(UserError, match="no features of 4 channels"):
        step(real().double(), balancer, image_of())


def test_it_must_be_attached() -> None:
    with pytest.raises(TypeError, match="not attached"):
        step(real().double(), Adversarial(tasks()), image_of())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.5}, "share of adversarial must lie in"),
        ({"share": math.nan}, "share of adversarial must lie in"),
        ({"kernel": 2}, "kernel of adversarial must be one of 1, 3"),
        ({"lr_factor": 0.0}, "lr_factor of adversarial must be above 0"),
        ({"lr_factor": math.inf}, "lr_factor of adversarial must be finite"),
        ({"normalise": "max"}, "normalise of adversarial must be one of"),
        ({"weights": {"sheep": 1.0}}, "sheep"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Adversarial(tasks(), **options)
