"""Every encoder with every decoder deploys to the same predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError
from frugalmtl.core.seeding import seed_everything
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import DeployedModel, deploy
from frugalmtl.encoders import ENCODERS
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.classification import classification
from frugalmtl.tasks.segmentation import segmentation

BACKBONES = ("test_resnet", "test_efficientnet", "test_vit")
SMALL = {"width": 16, "fuse_width": 16, "head": {"name": "hrnet", "width": 16}}
CASES = [(e, d, b) for b in BACKBONES for e in ENCODERS.names() for d in DECODERS.names()]


@cache
def backbone(model: str) -> Backbone:
    seed_everything(0)
    return Timm(model=model)


def build(encoder_name: str, decoder_name: str, model: str) -> MultiTaskModel:
    first = segmentation(classes=("wall", "floor", "chair"))
    tasks = [first, replace(first, name="second", channels=1), classification(classes=("plant", "lamp"))]
    encoder = ENCODERS.build(encoder_name, backbone(model), [task.name for task in tasks])
    section = {key: value for key, value in SMALL.items() if key in DECODERS.schema(decoder_name)}
    decoder = DECODERS.build({"name": decoder_name, **section}, encoder.channels, encoder.strides, tasks)
    return MultiTaskModel(encoder, decoder, tasks)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def pair(request: pytest.FixtureRequest) -> tuple[MultiTaskModel, DeployedModel]:
    """A model in its last stage with weights that differ between tasks, and what it deploys to."""
    seed_everything(0)
    encoder, decoder, model_name = request.param
    try:
        model = build(encoder, decoder, model_name)
    except UserError as refusal:
        if model_name == BACKBONES[0]:
            raise
        pytest.skip(str(refusal))
    for stage in model.recipe():
        model.enter_stage(stage.name)
    scramble: Callable[[nn.Module], None] = request.getfixturevalue("scramble_norms")
    scramble(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * parameter.std(correction=0) * torch.randn_like(parameter))
    model.eval()
    return model, deploy(model)


def differences(model: MultiTaskModel, plain: DeployedModel, image: Tensor) -> dict[str, float]:
    """Largest difference per task, relative to the largest output where that is above 1."""
    with torch.no_grad():
        wanted, deployed = model(image).by_task, plain(image)
    assert list(wanted) == list(deployed) == list(plain.task_names)
    assert all(deployed[name].shape == raw.shape for name, raw in wanted.items())
    return {
        name: ((deployed[name] - raw).abs().max() / raw.abs().max().clamp(min=1)).item() for name, raw in wanted.items()
    }


def test_equal_predictions_at_other_sizes(pair: tuple[MultiTaskModel, DeployedModel]) -> None:
    model, plain = pair
    side = plain.size_divisor
    for batch, height, width in ((1, 3 * side, 2 * side), (3, 2 * side, 4 * side)):
        worst = differences(model, plain, torch.randn(batch, 3, height, width))
        assert max(worst.values()) <= 1e-4, worst


def test_some_tasks_alone(pair: tuple[MultiTaskModel, DeployedModel]) -> None:
    model, whole = pair
    for chosen in (("second",), ("classification",), ("segmentation", "classification")):
        plain = deploy(model, tasks=chosen[::-1])
        assert plain.task_names == chosen
        image = torch.randn(2, 3, 2 * plain.size_divisor, 3 * plain.size_divisor)
        with torch.no_grad():
            expected, outputs = model(image).by_task, plain(image)
        assert list(outputs) == list(chosen)
        for name, raw in outputs.items():
            assert (expected[name] - raw).abs().max() <= 1e-4 * raw.abs().max().clamp(min=1)
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
    """Parameters that no output depends on."""
    plain.requires_grad_(True)
    outputs = plain(torch.randn(2, 3, 64, 96))
    torch.stack([raw.square().sum() for raw in outputs.values()]).sum().backward()
    silent = [name for name, parameter in plain.named_parameters() if parameter.grad is None]
    plain.zero_grad(set_to_none=True)
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
