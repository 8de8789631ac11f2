"""Every encoder with every decoder deploys to the same predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.core.seeding import seed_everything
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import DeployedModel, deploy
from frugalmtl.encoders import ENCODERS, DecidingModule
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.classification import classification
from frugalmtl.tasks.segmentation import segmentation
from tests.support.contracts.decisions import compared_decisions, unread_parameters
from tests.support.contracts.fitting import ENCODER_NAMES, TOY_ROUTER, backbone_of, fitting_family, lacking

FAMILIES = ("resnet", "efficientnet", "vision_transformer")
SMALL = {"width": 16, "fuse_width": 16, "head": {"name": "hrnet", "width": 16}}


def build(encoder_name: str, decoder_name: str, family: str) -> MultiTaskModel:
    first = segmentation(classes=("wall", "floor", "chair"))
    tasks = [first, replace(first, name="second", channels=1), classification(classes=("plant", "lamp"))]
    encoder = ENCODERS.build(encoder_name, backbone_of(family), [task.name for task in tasks])
    section = {key: value for key, value in SMALL.items() if key in DECODERS.schema(decoder_name)}
    decoder = DECODERS.build({"name": decoder_name, **section}, encoder.channels, encoder.strides, tasks)
    return MultiTaskModel(encoder, decoder, tasks)


def families_of(encoder: str) -> list[str]:
    """The families that fit an encoder, or one of others where none does."""
    if encoder == TOY_ROUTER:  # it is no member while tests are collected
        return [*FAMILIES]
    return [name for name in FAMILIES if not lacking(encoder, name)] or [fitting_family(encoder)]


def cases() -> Iterator[Any]:
    """Every encoder with every decoder on one family, and on the others with independent heads; slow: with all."""
    for encoder in ENCODER_NAMES:
        first, *others = families_of(encoder)
        for decoder in DECODERS.names():
            yield pytest.param((encoder, decoder, first), id=f"{encoder}-{decoder}-{first}")
            marks = [] if decoder == "independent" else [pytest.mark.slow]
            for family in others:
                yield pytest.param((encoder, decoder, family), id=f"{encoder}-{decoder}-{family}", marks=marks)


@pytest.fixture(scope="module", params=[*cases()])
def pair(request: pytest.FixtureRequest, toy_members: None) -> tuple[MultiTaskModel, DeployedModel]:
    """A model in its last stage with weights that differ between tasks, and what it deploys to."""
    encoder, decoder, family = request.param
    reason = lacking(encoder, family)
    if reason:
        pytest.skip(reason)
    seed_everything(0)
    model = build(encoder, decoder, family)
    for stage in model.recipe():
        model.enter_stage(stage.name)
    scramble: Callable[[nn.Module], None] = request.getfixturevalue("scramble_norms")
    scramble(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * parameter.std(correction=0) * torch.randn_like(parameter))
    model.eval()
    return model, deploy(model)


def worst(model: MultiTaskModel, plain: DeployedModel, image: Tensor, tasks: tuple[str, ...] | None = None) -> float:
    """Largest difference of a task's predictions at equal decisions, relative to the largest output above 1."""
    differences = []
    with torch.no_grad():
        for decisions in compared_decisions(plain.encoder, image):
            wanted = model(image, tasks=tasks, decisions=decisions).by_task
            deployed = plain(image, decisions)
            assert list(wanted) == list(deployed) == list(plain.task_names)
            assert all(deployed[name].shape == raw.shape for name, raw in wanted.items())
            differences += [
                ((deployed[name] - raw).abs().max() / raw.abs().max().clamp(min=1)).item()
                for name, raw in wanted.items()
            ]
    return max(differences)


@pytest.mark.slow
def test_equal_predictions_at_other_sizes(pair: tuple[MultiTaskModel, DeployedModel]) -> None:
    model, plain = pair
    side = plain.size_divisor
    for batch, height, width in ((1, 3 * side, 2 * side), (3, 2 * side, 4 * side)):
        assert worst(model, plain, torch.randn(batch, 3, height, width)) <= 1e-4


@pytest.mark.slow
def test_some_tasks_alone(pair: tuple[MultiTaskModel, DeployedModel]) -> None:
    model, whole = pair
    for chosen in (("second",), ("classification",), ("segmentation", "classification")):
        plain = deploy(model, tasks=chosen[::-1])
        assert plain.task_names == chosen
        image = torch.randn(2, 3, 2 * plain.size_divisor, 3 * plain.size_divisor)
        assert worst(model, plain, image, chosen) <= 1e-4
        assert operations(plain, image) <= operations(whole, image)
        assert silent_parameters(plain) == []
        assert size_of(plain) <= size_of(whole)


def test_nothing_of_training_is_left(pair: tuple[MultiTaskModel, DeployedModel]) -> None:
    model, plain = pair
    assert not [name for name, m in plain.named_modules() if isinstance(m, (_BatchNorm, _DropoutNd, DropPath))]
    assert not any(parameter.requires_grad for parameter in plain.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in plain.modules())
    image = torch.randn(1, 3, 64, 96)
    assert operations(plain, image) <= operations(model, image)


def test_no_parameter_changes_nothing(pair: tuple[MultiTaskModel, DeployedModel]) -> None:
    model, plain = pair
    assert silent_parameters(plain) == []
    assert size_of(plain) <= size_of(model)


def silent_parameters(plain: DeployedModel) -> list[str]:
    """Parameters that neither outputs nor choices depend on, where everything runs."""
    plain.requires_grad_(True)
    image = torch.randn(2, 3, 64, 96)
    inputs = (image, plain.encoder.everything(image)) if isinstance(plain.encoder, DecidingModule) else (image,)
    silent = unread_parameters(plain, list(plain(*inputs).values()), plain.encoder, image)
    plain.requires_grad_(False)
    return silent


def size_of(module: nn.Module) -> int:
    """Numbers stored in parameters and buffers."""
    tensors = {id(tensor): tensor.numel() for tensor in module.state_dict(keep_vars=True).values()}
    return sum(tensors.values())


def operations(module: nn.Module, image: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(image)
    return counter.get_total_flops()
