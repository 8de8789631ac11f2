"""Contract of encoders, on every family of backbones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.backbones.families import FAMILIES
from frugalmtl.core.checks import UserError
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Features
from frugalmtl.encoders import BACKBONE_VIEWS, ENCODERS, DecidingEncoder, DecidingModule, Encoder
from tests.support.backbones import tiny_backbone
from tests.support.contracts.decisions import compared_decisions, features_at, unread_parameters
from tests.support.contracts.fitting import ENCODER_NAMES, backbone_of, fitting_family, lacking

TASKS = ("near", "far")
HEIGHT, WIDTH = 64, 96


CASES = [(name, kind) for name in ENCODER_NAMES for kind in FAMILIES.names()]
Build = Callable[[], Encoder]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def template(request: pytest.FixtureRequest, toy_members: None) -> Encoder:
    name, kind = request.param
    reason = lacking(name, kind)
    if reason:
        pytest.skip(reason)
    seed_everything(0)
    encoder: Encoder = ENCODERS.build(name, tiny_backbone(kind), TASKS)
    return encoder


@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_a_backbone_without_what_the_encoder_needs_is_refused(name: str, toy_members: None) -> None:
    assert set(ENCODERS.fact(name, "views")) <= set(BACKBONE_VIEWS)
    assert fitting_family(name)
    for kind in FAMILIES.names():
        if lacking(name, kind):
            with pytest.raises(UserError):
                ENCODERS.build(name, backbone_of(kind), TASKS)


@pytest.fixture
def encoder(template: Encoder) -> Encoder:
    """A fresh copy in training mode, inside its last stage, with weights that differ between tasks."""
    fresh = deepcopy(template)
    fresh.enter_stage(fresh.recipe()[-1].name)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.add_(0.02 * parameter.std(correction=0) * torch.randn_like(parameter))
    return fresh.train()


def image() -> Tensor:
    return torch.randn(2, 3, HEIGHT, WIDTH)


def levels_of(features: Features) -> Iterator[Tensor]:
    for pyramid in features.by_task.values():
        yield from pyramid


def some_loss(features: Features) -> Tensor:
    """A scalar that weighs every feature of every task differently, and all penalties."""
    generator = torch.Generator().manual_seed(7)
    terms = [(level * torch.randn(level.shape, generator=generator)).mean() for level in levels_of(features)]
    return torch.stack([*terms, *features.penalties.values()]).sum()


def test_features_have_the_declared_shapes(encoder: Encoder) -> None:
    features = encoder(image())
    assert tuple(features.by_task) == encoder.task_names == TASKS
    for pyramid in features.by_task.values():
        shapes = [tuple(level.shape) for level in pyramid]
        expected = zip(encoder.channels, encoder.strides, strict=True)
        assert shapes == [(2, channels, HEIGHT // stride, WIDTH // stride) for channels, stride in expected]
    assert all(torch.isfinite(level).all() for level in levels_of(features))
    assert all(penalty.ndim == 0 for penalty in features.penalties.values())
    assert not any(value.requires_grad for value in features.statistics.values())


def test_recipe_is_complete(encoder: Encoder) -> None:
    recipe = encoder.recipe()
    assert sum(stage.share for stage in recipe) == pytest.approx(1.0)
    assert len({stage.name for stage in recipe}) == len(recipe)
    penalties = set(encoder(image()).penalties)
    assert set(recipe[-1].penalties) <= penalties


def test_backward_through_the_cut_gives_the_plain_gradients(encoder: Encoder) -> None:
    batch = image()
    twin = deepcopy(encoder)
    seed_everything(3)
    some_loss(encoder(batch)).backward()

    seed_everything(3)
    shared = twin.encode(batch)
    leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in shared]
    some_loss(twin.branch(leaves)).backward()
    pairs = [
        (s, leaf.grad) for s, leaf in zip(shared, leaves, strict=True) if s.requires_grad and leaf.grad is not None
    ]
    torch.autograd.backward([tensor for tensor, _ in pairs], [gradient for _, gradient in pairs])

    for (name, plain), (_, cut) in zip(encoder.named_parameters(), twin.named_parameters(), strict=True):
        assert (plain.grad is None) == (cut.grad is None), name
        if plain.grad is not None and cut.grad is not None:
            scale = plain.grad.abs().max().clamp(min=1e-6)
            assert (plain.grad - cut.grad).abs().max() <= 1e-3 * scale + 1e-7, name


@pytest.mark.parametrize("task", TASKS)
def test_only_wanted_tasks_are_returned_and_trained(encoder: Encoder, task: str) -> None:
    batch, (other,) = image(), set(TASKS) - {task}
    encoder.eval()
    for decisions in compared_decisions(deepcopy(encoder).deploy().eval(), batch):
        with torch.no_grad():
            whole = features_at(encoder, batch, decisions)
        features = features_at(encoder, batch, decisions, (task,))
        assert list(features.by_task) == [task]
        assert features.penalties.keys() == whole.penalties.keys()
        for level, expected in zip(features.by_task[task], whole.by_task[task], strict=True):
            torch.testing.assert_close(level, expected, rtol=0, atol=1e-4)
        some_loss(features).backward()
    if not encoder.shares:
        assert all(p.grad is None for name, p in encoder.named_parameters() if f".{other}." in name)
    nothing = encoder.branch(encoder.encode(batch, ()), ())
    assert nothing.by_task == {}
    assert nothing.penalties.keys() == whole.penalties.keys()


def test_every_trainable_parameter_gets_a_gradient_in_each_stage(encoder: Encoder) -> None:
    for stage in encoder.recipe():
        encoder.enter_stage(stage.name)
        encoder.zero_grad(set_to_none=True)
        wanted = {name for name, p in encoder.named_parameters() if p.requires_grad and stage.trains(f"encoder.{name}")}
        for _ in range(10):  # a method that samples paths may need a few draws to visit all
            some_loss(encoder(image())).backward()
            reached = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
            if wanted <= reached:
                break
        assert wanted - reached == set()
        assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def require_equal_outputs(encoder: Encoder, deployed: nn.Module, batch: Tensor, tasks: tuple[str, ...]) -> None:
    """Deployed and trained form give the same, an encoder that chooses for each image at equal decisions."""
    for decisions in compared_decisions(deployed, batch):
        expected = features_at(encoder, batch, decisions).by_task
        outputs = deployed(batch) if decisions is None else deployed(batch, decisions)
        assert list(outputs) == list(tasks)
        for task in tasks:
            for level, other in zip(expected[task], outputs[task], strict=True):
                assert level.shape == other.shape
                assert (level - other).abs().max() <= 1e-4


def test_deployed_module_equals_evaluation(encoder: Encoder) -> None:
    with torch.no_grad():
        encoder(image())  # moves the running statistics away from their start
        encoder.eval()
        deployed = deepcopy(encoder).deploy().eval()
        assert not isinstance(deployed, Encoder)
        assert isinstance(deployed, DecidingModule) == encoder.decides
        require_equal_outputs(encoder, deployed, torch.randn(1, 3, HEIGHT, WIDTH), TASKS)


@torch.no_grad()
def test_both_forms_choose_by_equal_margins(encoder: Encoder) -> None:
    encoder.eval()
    deployed, batch = deepcopy(encoder).deploy().eval(), image()
    for decisions in compared_decisions(deployed, batch) if isinstance(encoder, DecidingEncoder) else []:
        assert isinstance(encoder, DecidingEncoder)
        assert isinstance(deployed, DecidingModule)
        expected, margins = encoder.margins(batch, decisions), deployed.margins(batch, decisions)
        assert list(expected) == list(margins)
        for name, margin in margins.items():
            torch.testing.assert_close(margin, expected[name], rtol=1e-4, atol=1e-4)


def test_a_task_of_which_nothing_is_read_is_not_deployed(encoder: Encoder) -> None:
    encoder.eval().read_levels = {"near": (), "far": tuple(range(len(encoder.channels)))}
    with torch.no_grad():
        require_equal_outputs(encoder, deepcopy(encoder).deploy().eval(), image(), ("far",))


def test_deployed_module_holds_nothing_that_the_output_does_not_need(encoder: Encoder) -> None:
    deployed = deepcopy(encoder).eval().deploy().eval().requires_grad_(True)
    before = sum(parameter.numel() for parameter in encoder.parameters())
    assert sum(parameter.numel() for parameter in deployed.parameters()) <= before
    batch = image()
    inputs = (batch, deployed.everything(batch)) if isinstance(deployed, DecidingModule) else (batch,)
    levels = [level for pyramid in deployed(*inputs).values() for level in pyramid]
    assert unread_parameters(deployed, levels, deployed, batch) == []
