"""``deploy()``: facts, layout, and what it leaves untouched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError
from frugalmtl.decoders.independent import Independent
from frugalmtl.deployment import deploy
from frugalmtl.encoders import Encoder
from frugalmtl.encoders.hard_sharing import HardSharing
from frugalmtl.encoders.single_task import SingleTask
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import Task
from frugalmtl.tasks.segmentation import segmentation

Scramble = Callable[[nn.Module], None]


def tasks() -> list[Task]:
    first = segmentation(classes=("wall", "floor"))
    return [first, replace(first, name="helper", auxiliary=True)]


def model_of(encoder: Callable[[Timm, Sequence[str]], Encoder] = HardSharing) -> MultiTaskModel:
    chosen = encoder(Timm(model="test_resnet"), [task.name for task in tasks()])
    return MultiTaskModel(chosen, Independent(chosen.channels, chosen.strides, tasks(), head="linear"), tasks())


class Wrong(HardSharing):
    """Deploys to something else."""

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        return [level + 1 for level in super().encode(image, tasks)]


def test_facts_and_layout(scramble_norms: Scramble) -> None:
    model = model_of()
    scramble_norms(model)
    plain = deploy(model)
    network = model.encoder.network
    assert plain.task_names == ("segmentation",)
    assert (plain.size_divisor, plain.mean, plain.std) == (32, network.mean, network.std)
    maps = [parameter for parameter in plain.parameters() if parameter.ndim == 4]
    assert maps
    assert all(parameter.is_contiguous(memory_format=torch.channels_last) for parameter in maps)
    assert not plain.training
    contiguous = deploy(model, channels_last=False)
    assert all(parameter.is_contiguous() for parameter in contiguous.parameters())
    image = torch.randn(1, 3, 64, 32)
    torch.testing.assert_close(contiguous(image), plain(image), rtol=0, atol=1e-4)


def test_the_model_is_left_as_it_was(scramble_norms: Scramble) -> None:
    model = model_of().train()
    scramble_norms(model)
    before = deepcopy(model.state_dict())
    plain = deploy(model)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    memory = {tensor.data_ptr() for tensor in model.state_dict().values()}
    assert not memory & {tensor.data_ptr() for tensor in plain.state_dict().values()}


def test_the_network_of_an_auxiliary_task_is_not_deployed() -> None:
    model = model_of(SingleTask)
    plain = deploy(model)
    kept = sum(parameter.numel() for parameter in plain.encoder.parameters())
    one = sum(parameter.numel() for parameter in model.encoder.networks["segmentation"].parameters())
    assert kept <= one


def test_a_wrong_deployment_is_a_defect() -> None:
    with pytest.raises(RuntimeError, match="segmentation: deployed predictions differ by"):
        deploy(model_of(Wrong))


def test_an_example_that_is_no_image_is_refused() -> None:
    with pytest.raises(UserError, match=r"example must be images \[B, 3, H, W\], but got the shape \[3, 64, 64\]"):
        deploy(model_of(), example=torch.randn(3, 64, 64))


def test_deploys_on_an_example_of_another_size() -> None:
    plain = deploy(model_of(), example=torch.randn(1, 3, 32, 64))
    assert plain(torch.randn(2, 3, 64, 64))["segmentation"].shape == (2, 2, 64, 64)


def test_exports_with_any_batch_size() -> None:
    plain = deploy(model_of())
    program = torch.export.export(
        plain, (torch.randn(2, 3, 64, 64),), dynamic_shapes={"image": {0: torch.export.Dim("batch")}}
    )
    image = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(program.module()(image), plain(image), rtol=0, atol=1e-5)
