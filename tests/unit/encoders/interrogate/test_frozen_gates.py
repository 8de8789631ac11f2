"""Training with frozen gates: less is computed, and the same is learned."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Features
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.interrogate.encoder import InterroGate

TASKS = ("near", "far", "wide")


def encoder(model: str, *, seed: int = 0, share: float = 0.5, **arguments: Any) -> InterroGate:
    """An encoder with random gates, of which about a share is open, and weights that differ between the branches."""
    seed_everything(seed)
    section = {"name": "interrogate", "frozen_share": 0.5, **arguments}
    gated: InterroGate = ENCODERS.build(section, Timm(model=model), TASKS)
    with torch.no_grad():
        for parameter in [*gated.networks.parameters(), *gated.shared.parameters(), *gated.projections.parameters()]:
            parameter.add_(0.02 * parameter.std(correction=0) * torch.randn_like(parameter))
        gated.gates.alpha.copy_(torch.rand_like(gated.gates.alpha) - (1 - share))
        gated.gates.beta.normal_()
    gated.enter_stage("joint")
    return gated


def frozen(model: InterroGate) -> InterroGate:
    """The same inside its last epochs, running what the gates leave."""
    model.enter_epoch(1, 2)
    model.enter_step(0.5)
    assert model.program.current is not None
    return model


def branches_of(model: InterroGate) -> list[nn.Module]:
    return [*model.networks.values(), model.shared]


def weighted(features: Features) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    levels = [level for pyramid in features.by_task.values() for level in pyramid]
    return torch.stack([(level * torch.randn(level.shape, generator=generator)).mean() for level in levels]).sum()


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("share", [0.2, 0.6])
@pytest.mark.parametrize(
    ("model", "attention"),
    [("test_resnet", "channels"), ("test_efficientnet", "channels"), ("test_vit", "channels"), ("test_vit", "heads")],
)
def test_same_features_and_gradients(
    model: str, attention: Literal["channels", "heads"], share: float, training: bool
) -> None:
    dense = encoder(model, share=share, attention=attention, projection=model == "test_vit").double()
    reduced = frozen(deepcopy(dense)).train(training)
    dense.schedule.frozen, dense.schedule.learning = True, False
    dense.train(training)
    image = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    expected, computed = dense(image), reduced(image)
    for task in TASKS:
        for level, other in zip(expected.by_task[task], computed.by_task[task], strict=True):
            assert torch.allclose(level, other, rtol=1e-9, atol=1e-9)
    for features in (expected, computed):
        weighted(features).backward()
    for (name, parameter), (_, twin) in zip(dense.named_parameters(), reduced.named_parameters(), strict=True):
        if parameter.grad is not None and parameter.grad.any():
            assert twin.grad is not None, name
            scale = parameter.grad.abs().max().clamp(min=1e-6)
            assert (parameter.grad - twin.grad).abs().max() <= 1e-7 * scale, name
        else:
            assert twin.grad is None or not twin.grad.abs().max() > 1e-12, name


def test_running_statistics_of_computed_channels_move() -> None:
    dense = encoder("test_resnet")
    reduced = frozen(deepcopy(dense)).train()
    before = deepcopy(reduced.state_dict())
    dense.schedule.frozen, dense.schedule.learning = True, False
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        dense.train()(image)
        reduced(image)
    plan = reduced.plan_of()
    for index, node in enumerate(reduced.graph.nodes):
        for branch, (network, twin) in enumerate(zip(branches_of(dense), branches_of(reduced), strict=True)):
            module = dict(twin.named_modules()).get(node.operation.target or "none")
            if not isinstance(module, _BatchNorm):
                continue
            computed = torch.from_numpy(plan.computed[index][branch])
            moved = network.get_submodule(node.operation.target or "").running_mean
            assert torch.allclose(module.running_mean[computed], moved[computed], atol=1e-6)
            home = "shared" if branch == len(TASKS) else f"networks.{TASKS[branch]}"
            first = before[f"{home}.{node.operation.target}.running_mean"]
            assert torch.equal(module.running_mean[~computed], first[~computed])


def test_what_runs_is_what_the_plan_says() -> None:
    dense = encoder("test_resnet", share=0.3)
    reduced = frozen(deepcopy(dense))
    counts = {}
    for name, module in (("dense", dense), ("reduced", reduced)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(torch.randn(1, 3, 64, 64))
        counts[name] = counter.get_total_flops()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        deepcopy(reduced).eval().deploy()(torch.randn(1, 3, 64, 64))
    assert counts["reduced"] == counter.get_total_flops() < 0.7 * counts["dense"]


def test_where_nobody_shares_the_shared_branch_does_not_run() -> None:
    model = frozen(encoder("test_resnet", share=1.0))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 3, 64, 64))
    with torch.no_grad(), FlopCounterMode(display=False) as alone:
        model.shared(torch.randn(1, 3, 64, 64))
    assert counter.get_total_flops() == len(TASKS) * alone.get_total_flops()


def test_tasks_meet_where_only_earlier_channels_are_shared() -> None:
    """Balancers find a tensor of the cut that all tasks reach, with gradients of zero; the rest is as in step."""
    dense = encoder("test_resnet", share=0.5).double().train()
    columns = torch.split(dense.gates.columns, list(dense.gates.places.widths))[-1]
    with torch.no_grad():
        dense.gates.alpha[:, columns] = 1.0
    reduced = frozen(deepcopy(dense)).train()
    dense.schedule.frozen, dense.schedule.learning = True, False
    assert reduced.program.current is not None
    assert reduced.program.current.anchored
    image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    cut = [tensor.detach().requires_grad_() for tensor in reduced.encode(image)]
    features = reduced.branch(cut)
    for task in TASKS:
        loss = torch.stack([level.square().mean() for level in features.by_task[task]]).sum()
        gradients = torch.autograd.grad(loss, cut, allow_unused=True, retain_graph=True)
        assert gradients[-1] is not None
        assert not gradients[-1].any()
    for model in (dense, reduced):
        weighted(model(image)).backward()
    for (name, parameter), (_, twin) in zip(dense.named_parameters(), reduced.named_parameters(), strict=True):
        zero = torch.zeros_like(parameter)
        expected, computed = (zero if one.grad is None else one.grad for one in (parameter, twin))
        assert (expected - computed).abs().max() <= 1e-7 * expected.abs().max() + 1e-12, name


def alpha_gradient(model: InterroGate, image: Tensor) -> Tensor | None:
    model.zero_grad(set_to_none=True)
    features = model(image)
    (weighted(features) + features.penalties["sparsity"]).backward()
    return model.gates.alpha.grad


def test_gates_learn_at_every_so_many_steps() -> None:
    image = torch.randn(2, 3, 64, 64)
    always, rarely = encoder("test_resnet").train(), encoder("test_resnet", gate_every=3).train()
    always.enter_step(0.0)
    expected = alpha_gradient(always, image)
    assert expected is not None
    for step in range(7):
        rarely.enter_step(step / 7)
        gradient = alpha_gradient(rarely, image)
        if step % 3 == 0:
            assert gradient is not None
            if step == 0:
                assert torch.allclose(gradient, 3 * expected, rtol=1e-3, atol=1e-7)
        else:
            assert gradient is None
            assert rarely.program.current is not None
    assert int(rarely.steps) == 7


def test_a_program_is_written_anew_only_when_gates_moved() -> None:
    model = encoder("test_resnet", gate_every=2).train()
    programs = []
    for step in range(6):
        if step == 4:
            with torch.no_grad():
                model.gates.alpha.neg_()
        model.enter_step(step / 6)
        programs.append(model.program.current)
    assert programs[1] is programs[3] is not None
    assert programs[5] is not programs[3]


def test_the_program_belongs_to_its_own_copy() -> None:
    first = frozen(encoder("test_resnet")).eval()
    second = deepcopy(first)
    with torch.no_grad():
        for parameter in second.networks.parameters():
            parameter.zero_()
        image = torch.randn(1, 3, 64, 64)
        before, after = first(image).by_task["near"][-1], second(image).by_task["near"][-1]
    assert not torch.allclose(before, after)


def test_nothing_of_it_is_saved() -> None:
    model = encoder("test_resnet")
    before = set(model.state_dict())
    assert set(frozen(model).state_dict()) == before
    assert not any("Frozen" in type(module).__name__ for module in model.modules())
