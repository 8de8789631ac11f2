"""Gates, their merge and the penalty, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from frugalmtl.channels.cost import node_macs, site_macs
from frugalmtl.encoders.interrogate.gates import Gates, Places, merge, pick
from frugalmtl.encoders.interrogate.sparsity import sparsity
from tests.support.channels import CIFAR, backbone, image
from tests.support.gated import NAMES, gated

PLACES = Places.of([3, 4, 4, 2], [1, 2, 2, 1], [[1, 2]])


def test_places_share_gates_between_units_and_tied_sites() -> None:
    assert PLACES.gates == 3 + 2 + 2
    assert PLACES.columns == (0, 1, 2, 3, 3, 4, 4, 3, 3, 4, 4, 5, 6)
    open_gates = np.array([[True, False, True, True, False, False, True]])
    split = [mask.astype(int).tolist() for mask in PLACES.split(open_gates)]
    assert split == [[[1, 0, 1]], [[1, 1, 0, 0]], [[1, 1, 0, 0]], [[0, 1]]]


def test_gates_start_open_and_with_equal_shares() -> None:
    gates = Gates(3, PLACES, 0.01)
    assert all(mask.all() for mask in gates.private())
    assert all(bool((choice == 1).all()) for choice in gates.choices(0))
    assert all(torch.allclose(mix, torch.full_like(mix, 1 / 3)) for mix in gates.mixes())
    assert [choice.shape for choice in gates.choices(1)] == [(3, 3), (3, 4), (3, 4), (3, 2)]


def test_a_gate_is_open_where_it_is_worth_its_price() -> None:
    gates = Gates(2, Places.of([4], [1]), 0.01)
    with torch.no_grad():
        gates.alpha.copy_(torch.tensor([[0.3, 0.1, -0.1, 0.3]] * 2))
        gates.cost.copy_(torch.tensor([1.0, 1.0, 1.0, 2.0]))
    opened = []
    for price in (0.0, 0.2, -0.2):
        gates.price.fill_(price)
        opened.append(gates.private()[0].astype(int).tolist()[0])
        assert (gates.choices(1)[0] > 0.5).int().tolist()[0] == opened[-1]
    # Two copies against one: both tasks keep a channel where twice alpha exceeds the price of one copy.
    assert opened == [[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1]]


def test_the_gradient_passes_the_threshold_as_that_of_the_sigmoid() -> None:
    gates = Gates(2, PLACES, 0.3)
    with torch.no_grad():
        gates.alpha.normal_()
        gates.price.fill_(0.1)
    weights = [torch.randn(2, width) for width in PLACES.widths]
    sum((choice * weight).sum() for choice, weight in zip(gates.choices(1), weights, strict=True)).backward()
    soft = gates.scores().detach().sigmoid()
    slope, by_channel = soft * (1 - soft), torch.cat(weights, 1)
    expected = torch.zeros_like(soft)
    for channel, gate in enumerate(PLACES.columns):
        expected[:, gate] += by_channel[:, channel] * slope[:, gate]
    assert torch.allclose(gates.alpha.grad, expected, atol=1e-6)
    assert not any(choice.requires_grad for choice in gates.choices(0))


# --- eq. (2) and (3)


def naive(choice: Tensor, mix: Tensor, axis: int, shared: Tensor, private: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    shape = [-1 if dim == axis % shared.ndim else 1 for dim in range(shared.ndim)]
    picked = [g.view(shape) * phi + (1 - g.view(shape)) * shared for g, phi in zip(choice, private, strict=True)]
    return picked, sum(weight.view(shape) * phi for weight, phi in zip(mix, picked, strict=True))  # type: ignore[return-value]


def inputs(tasks: int, axis: int, *, channels_last: bool = False, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    channels = 5
    shape = (2, channels, 3, 4) if axis == 1 else (2, 3, 4, channels)
    maps = [torch.randn(shape).to(dtype) for _ in range(tasks + 1)]
    if channels_last:
        maps = [tensor.to(memory_format=torch.channels_last) for tensor in maps]
    choice = (torch.rand(tasks, channels) > 0.5).to(torch.float64)
    mix = torch.randn(tasks, channels).double().softmax(0)
    return [tensor.requires_grad_() for tensor in (choice, mix, *maps)]


@pytest.mark.parametrize("tasks", [1, 2, 4])
@pytest.mark.parametrize("mixes", [True, False], ids=["merge", "pick"])
@pytest.mark.parametrize(("axis", "channels_last"), [(1, False), (1, True), (-1, False)])
def test_merge_is_the_plain_formula(tasks: int, mixes: bool, axis: int, channels_last: bool) -> None:
    leaves = inputs(tasks, axis, channels_last=channels_last)
    choice, mix, shared, *private = leaves
    picked, *mixed = merge(choice, mix, axis, shared, private) if mixes else (pick(choice, axis, shared, private),)
    wanted, wanted_mix = naive(choice, mix, axis, shared, private)
    outputs, expected = [*picked, *mixed], [*wanted, *([wanted_mix] if mixes else [])]
    for output, plain in zip(outputs, expected, strict=True):
        assert torch.allclose(output, plain, atol=1e-12)
        if channels_last:
            assert output.is_contiguous(memory_format=torch.channels_last), "no layout is lost"
    weights = [torch.randn_like(output) for output in outputs]
    needed = leaves if mixes else [choice, shared, *private]
    gradients = torch.autograd.grad(outputs, needed, weights)
    plain_gradients = torch.autograd.grad(expected, needed, weights)
    for gradient, plain in zip(gradients, plain_gradients, strict=True):
        assert torch.allclose(gradient, plain, atol=1e-12)


@pytest.mark.parametrize("used", [[0], [1], [2], [0, 2]], ids=str)
def test_merge_where_only_some_outputs_are_used(used: list[int]) -> None:
    leaves = inputs(2, 1)
    choice, mix, shared, *private = leaves
    picked, mixed = merge(choice, mix, 1, shared, private)
    wanted, wanted_mix = naive(choice, mix, 1, shared, private)
    outputs, plain = [*picked, mixed], [*wanted, wanted_mix]
    gradients = torch.autograd.grad([outputs[index].square().sum() for index in used], leaves, allow_unused=True)
    expected = torch.autograd.grad([plain[index].square().sum() for index in used], leaves, allow_unused=True)
    for gradient, other in zip(gradients, expected, strict=True):
        zero = torch.zeros((), dtype=torch.float64)
        assert torch.allclose(zero if gradient is None else gradient, zero if other is None else other)


@pytest.mark.parametrize("used", [[0, 1, 2], [2], [0, 2]], ids=str)
def test_gradients_side_by_side_are_those_one_by_one(used: list[int]) -> None:
    """As balancers take them that go through the trunk once for all tasks."""
    leaves = inputs(2, 1)
    choice, mix, shared, *private = leaves
    picked, mixed = merge(choice, mix, 1, shared, private)
    outputs = [(*picked, mixed)[index] for index in used]
    weights = [torch.randn(3, *output.shape, dtype=output.dtype) for output in outputs if output is not None]
    together = torch.autograd.grad(
        outputs, leaves, weights, is_grads_batched=True, allow_unused=True, retain_graph=True, materialize_grads=True
    )
    for side in range(3):
        alone = torch.autograd.grad(
            outputs,
            leaves,
            [weight[side] for weight in weights],
            retain_graph=True,
            materialize_grads=True,
            allow_unused=True,
        )
        for batched, single in zip(together, alone, strict=True):
            torch.testing.assert_close(batched[side], single)


@pytest.mark.parametrize("frozen", ["choice", "mix", "shared", "private"])
def test_merge_with_inputs_that_take_no_gradient(frozen: str) -> None:
    leaves = inputs(2, 1)
    index = ["choice", "mix", "shared", "private"].index(frozen)
    leaves[index].requires_grad_(False)
    choice, mix, shared, *private = leaves
    picked, mixed = merge(choice, mix, 1, shared, private)
    wanted, wanted_mix = naive(choice, mix, 1, shared, private)
    rest = [leaf for leaf in leaves if leaf.requires_grad]
    gradients = torch.autograd.grad([output.pow(3).sum() for output in (*picked, mixed)], rest)
    expected = torch.autograd.grad([output.pow(3).sum() for output in (*wanted, wanted_mix)], rest)
    assert all(torch.allclose(gradient, other) for gradient, other in zip(gradients, expected, strict=True))


def test_merge_leaves_its_inputs_and_their_gradients_alone() -> None:
    leaves = inputs(3, 1)
    before = [leaf.detach().clone() for leaf in leaves]
    choice, mix, shared, *private = leaves
    picked, mixed = merge(choice, mix, 1, shared, private)
    gradients = [torch.randn_like(shared) for _ in range(4)]
    kept = [gradient.clone() for gradient in gradients]
    torch.autograd.backward([*picked, mixed], gradients)
    assert all(torch.equal(leaf, value) for leaf, value in zip(leaves, before, strict=True))
    assert all(torch.equal(gradient, value) for gradient, value in zip(gradients, kept, strict=True))


def test_merge_of_values_that_are_not_finite() -> None:
    """At inference a closed gate shuts out whatever its task holds, as the deployed network does: 0 * inf would not."""
    choice, mix = torch.tensor([[0.0, 1.0]]), torch.ones(1, 2)
    shared, private = torch.ones(1, 2, 1, 1), torch.full((1, 2, 1, 1), float("inf"))
    with torch.no_grad():
        picked, mixed = merge(choice, mix, 1, shared, [private])
    assert picked[0].flatten().tolist() == [1.0, float("inf")]
    assert mixed is not None


def test_merge_with_and_without_gradients_agree() -> None:
    choice, mix, shared, *private = inputs(3, -1)
    picked, mixed = merge(choice, mix, -1, shared, private)
    with torch.no_grad():
        plain, plain_mix = merge(choice, mix, -1, shared, private)
    assert torch.equal(mixed, plain_mix)
    assert all(torch.equal(value, other) for value, other in zip(picked, plain, strict=True))


def test_merge_in_half_precision() -> None:
    """Features in bfloat16, gates in float32: outputs in bfloat16, gradients of the gates in float32."""
    leaves = [leaf.detach() for leaf in inputs(2, 1, dtype=torch.bfloat16)]
    leaves[0], leaves[1] = leaves[0].float(), leaves[1].float()
    choice, mix, shared, *private = [leaf.requires_grad_() for leaf in leaves]
    picked, mixed = merge(choice, mix, 1, shared, private)
    assert {output.dtype for output in (*picked, mixed)} == {torch.bfloat16}
    torch.stack([output.float().square().sum() for output in (*picked, mixed)]).sum().backward()
    assert choice.grad.dtype == mix.grad.dtype == torch.float32
    doubles = [leaf.detach().double().requires_grad_() for leaf in (choice, mix, shared, *private)]
    wanted, wanted_mix = naive(doubles[0], doubles[1], 1, doubles[2], doubles[3:])
    torch.stack([output.square().sum() for output in (*wanted, wanted_mix)]).sum().backward()
    for leaf, other in zip((choice, mix, shared, *private), doubles, strict=True):
        scale = other.grad.abs().max()
        assert (leaf.grad.double() - other.grad).abs().max() <= 0.03 * scale


# --- eq. (4)


def loop(encoder, tau: list[float] | None, weights: list[float]) -> float:  # type: ignore[no-untyped-def]
    """``1/T sum_t max(0, sum_l w_l mean_c sigmoid(alpha) - tau_t)``, ``w`` normalised."""
    places, total = encoder.gates.places, 0.0
    for task in range(len(encoder.task_names)):
        kept, start = 0.0, 0
        for width, weight in zip(places.widths, weights, strict=True):
            soft = [
                1 / (1 + float(torch.exp(-encoder.gates.alpha.detach()[task, places.columns[start + channel]])))
                for channel in range(width)
            ]
            kept += weight / sum(weights) * sum(soft) / width
            start += width
        total += kept if tau is None else max(0.0, kept - tau[task])
    return total / len(encoder.task_names)


def penalty_of(encoder) -> float:  # type: ignore[no-untyped-def]
    with torch.no_grad():
        return float(encoder(image(1)).penalties["sparsity"])


def spread(encoder) -> None:  # type: ignore[no-untyped-def]
    with torch.no_grad():
        encoder.gates.alpha.normal_(std=2.0, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", [CIFAR, "vision_transformer"])
@pytest.mark.parametrize("tau", [0.0, {NAMES[0]: 0.0, NAMES[1]: 0.3, NAMES[2]: 1.0}], ids=["one", "by task"])
def test_penalty_is_the_hinge_on_the_mean_over_layers(kind: str, tau: float | dict[str, float]) -> None:
    encoder = gated(kind, 3, tau=tau).train()
    spread(encoder)
    targets = [tau] * 3 if isinstance(tau, float) else list(tau.values())
    assert penalty_of(encoder) == pytest.approx(loop(encoder, targets, [1.0] * len(encoder.graph.sites)), rel=1e-5)


def test_penalty_without_targets() -> None:
    encoder = gated(CIFAR, 2, penalty="l1", tau=0.9)
    spread(encoder)
    assert penalty_of(encoder) == pytest.approx(loop(encoder, None, [1.0] * len(encoder.graph.sites)), rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(CIFAR, {}), ("vision_transformer", {}), ("vision_transformer", {"attention": "heads"}), ("regnet", {})],
    ids=["cifar", "vit", "vit heads", "regnet"],
)
def test_penalty_by_operations(kind: str, settings: dict[str, str]) -> None:
    """Every channel counts as the multiply-adds of its filters: gates of many channels no more than once."""
    encoder = gated(kind, 2, weighting="macs", **settings)
    spread(encoder)
    singles = Places.of(encoder.gates.places.widths, [1] * len(encoder.graph.sites))
    per_channel = singles.macs(site_macs(encoder.graph, node_macs(encoder.graph, backbone(kind), (64, 64))))
    weights = [float(part.sum()) for part in per_channel.split(list(singles.widths))]
    assert penalty_of(encoder) == pytest.approx(loop(encoder, [0.0, 0.0], weights), rel=1e-4)


def test_no_penalty_and_no_gradient_below_the_target() -> None:
    encoder = gated(CIFAR, 2, tau={NAMES[0]: 0.4, NAMES[1]: 0.9}).train()
    with torch.no_grad():
        encoder.gates.alpha.fill_(0.1)
    penalty = encoder(image()).penalties["sparsity"]
    share = 1 / (1 + np.exp(-0.1))
    assert float(penalty.detach()) == pytest.approx((share - 0.4) / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, encoder.gates.alpha)
    assert bool((gradient[0] > 0).all())
    assert not gradient[1].any()


def test_penalty_falls_when_gates_close() -> None:
    encoder = gated(CIFAR, 2, tau=0.2).train()
    optimizer = torch.optim.SGD([encoder.gates.alpha], lr=50.0)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        penalty = sparsity(encoder.gates.soft(), encoder.weighting, encoder.tau)
        penalty.backward()
        optimizer.step()
        values.append(float(penalty.detach()))
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0.0, "the target is reached, and no more is asked"
    assert not any(mask.all() for mask in encoder.gates.private())


# --- alphas learn what a formula says


def test_alpha_and_beta_get_the_gradient_of_the_plain_network() -> None:
    """A network of two sites written out with plain operations."""
    encoder = gated(CIFAR, 2).train()
    spread(encoder)
    twin = gated(CIFAR, 2).train()
    twin.load_state_dict(encoder.state_dict())
    batch, weights = image(), {}

    def loss(levels: list[list[Tensor]]) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        terms = []
        for pyramid in levels:
            for level in pyramid:
                weights.setdefault(level.shape, None)
                terms.append((level * torch.randn(level.shape, generator=generator)).mean())
        return torch.stack(terms).sum()

    loss(list(encoder(batch).by_task.values())).backward()
    loss(plain_forward(twin, batch)).backward()
    for name, parameter in encoder.named_parameters():
        other = twin.get_parameter(name).grad
        assert (parameter.grad is None) == (other is None), name
        if other is not None:
            assert torch.allclose(parameter.grad, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()) + 1e-8), name


def plain_forward(encoder, batch: Tensor) -> list[list[Tensor]]:  # type: ignore[no-untyped-def]
    """Algorithm 1 with nothing but autograd."""
    graph, gates = encoder.graph, encoder.gates
    soft = gates.alpha.sigmoid()
    choice = (soft > 0.5).float() + soft - soft.detach()
    choices = choice[:, gates.places.columns].split(list(gates.places.widths), 1)
    mixes = gates.beta.softmax(0).split(list(gates.places.widths), 1)
    networks = [*encoder.networks.values(), encoder.shared]
    values: list[list[Tensor]] = [[batch] * len(networks)]
    for index, node in enumerate(graph.nodes[1:], start=1):
        outputs = [
            node.operation.run(graph.modules(network)[index], *(values[source][branch] for source in node.inputs))
            for branch, network in enumerate(networks)
        ]
        if node.site is not None:
            *private, shared = outputs
            picked, mixed = naive(choices[node.site], mixes[node.site], node.axis, shared, private)
            outputs = [*picked, mixed]
        values.append(outputs)
    return [[values[index][task] for index in graph.outputs] for task in range(len(encoder.task_names))]


@pytest.mark.parametrize("mixes", [False, True], ids=["pick", "merge"])
def test_merging_has_second_derivatives(mixes: bool) -> None:
    """Adversarial training differentiates gradients."""
    choice = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    mix, *tensors = (
        torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        for shape in ((2, 3), (2, 3, 2, 2), (2, 3, 2, 2), (2, 3, 2, 2))
    )

    def merged(mix: Tensor, shared: Tensor, *private: Tensor) -> tuple[Tensor, ...]:
        picked, *mixed = merge(choice, mix, 1, shared, private) if mixes else (pick(choice, 1, shared, private),)
        return tuple(tensor.square() for tensor in (*picked, *mixed))

    assert torch.autograd.gradgradcheck(merged, (mix, *tensors))
