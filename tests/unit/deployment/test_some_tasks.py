"""Deployment of some tasks: what the result holds and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import DeployedModel, deploy
from frugalmtl.encoders import ENCODERS, Encoder
from frugalmtl.evaluation.cost import count
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import Task
from frugalmtl.tasks.classification import classification
from frugalmtl.tasks.segmentation import segmentation
from tests.support.toys.branched import Branched

SIZE = (64, 64)
FIRST = segmentation(classes=("wall", "floor"))
TASKS = [
    replace(FIRST, name="near"),
    replace(FIRST, name="far"),
    replace(FIRST, name="helper", auxiliary=True),
    classification(classes=("plant", "lamp")),
]
FINALS = ("near", "far", "classification")
DECODER: dict[str, dict[str, Any]] = {
    "independent": {"head": "linear"},
    "pad_net": {"width": 8, "fuse_width": 16},
    "pad_net without values": {"width": 8, "fuse": False, "value_convolution": False},
}


def model_of(encoder: str, decoder: str = "independent", tasks: Sequence[Task] = TASKS) -> MultiTaskModel:
    torch.manual_seed(0)
    names, backbone = [task.name for task in tasks], Timm(model="test_resnet")
    network: Encoder = Branched(backbone, names) if encoder == "branched" else ENCODERS.build(encoder, backbone, names)
    network.enter_stage(network.recipe()[-1].name)
    section = {"name": decoder.split()[0], **DECODER[decoder]}
    model = MultiTaskModel(network, DECODERS.build(section, network.channels, network.strides, tasks), tasks)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def figures(module: nn.Module) -> Tensor:
    """Parameters and multiply-adds."""
    counts = count(module, SIZE)
    return torch.tensor([counts.params, counts.macs], dtype=torch.float64)


@pytest.mark.parametrize("encoder", ["single_task", "branched", "hard_sharing"])
def test_the_result_costs_what_its_parts_cost(encoder: str) -> None:
    """The parts of single tasks add up to the whole, but for what all of them hold."""
    model = model_of(encoder)
    whole, parts = figures(deploy(model)), [figures(deploy(model, tasks=(name,))) for name in FINALS]
    pairs = figures(deploy(model, tasks=("near", "far")))
    common = {
        "single_task": torch.zeros(2, dtype=torch.float64),
        "branched": figures_of_trunk(model),
        "hard_sharing": figures(deploy(model, tasks=("near",)).encoder),
    }[encoder]
    torch.testing.assert_close(sum(parts) - 2 * common, whole, rtol=1e-6, atol=0)
    torch.testing.assert_close(parts[0] + parts[1] - common, pairs, rtol=1e-6, atol=0)


def figures_of_trunk(model: MultiTaskModel) -> Tensor:
    if not isinstance(model.encoder, Branched):
        return torch.zeros(2, dtype=torch.float64)
    plain = deploy(model, tasks=("near",))
    alone = plain.encoder
    assert list(alone.arms) == ["near"]
    return figures(alone.trunk[0]) if len(alone.trunk) == 1 else figures(nn.Sequential(*alone.trunk))


def test_single_task_networks_leave_one_network_and_one_head() -> None:
    model = model_of("single_task")
    plain = deploy(model, tasks=["far"])
    assert plain.task_names == ("far",)
    assert list(plain.encoder.networks) == ["far"]
    assert list(plain.decoder.heads) == ["far"]
    tasks = [replace(TASKS[1])]
    alone = deploy(model_of("single_task", tasks=tasks))
    assert torch.equal(figures(plain), figures(alone)), "as a model that was trained for this task alone"


@pytest.mark.parametrize("decoder", [name for name in DECODER if name != "independent"])
@pytest.mark.parametrize("encoder", ["single_task", "hard_sharing"])
def test_pad_net_keeps_what_the_wanted_prediction_reads(encoder: str, decoder: str) -> None:
    model = model_of(encoder, decoder)
    dense, pooled = deploy(model, tasks=("near",)), deploy(model, tasks=("classification",))
    assert list(dense.decoder.features) == ["near", "far", "helper"], "others tell the wanted one something"
    assert list(dense.decoder.exchange.convs) == ["far", "helper"]
    assert list(dense.decoder.final) == ["near"]
    assert list(pooled.decoder.features) == []
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for plain in (dense, pooled):
            (name,) = plain.task_names
            torch.testing.assert_close(plain(image)[name], model(image).by_task[name], rtol=0, atol=1e-4)
    assert bool((figures(pooled) < figures(dense)).all())
    assert bool((figures(dense) < figures(deploy(model))).all())
    if encoder == "single_task":
        assert read_networks(dense) == ["near", "far", "helper"]
        assert read_networks(pooled) == ["classification"]


def read_networks(plain: DeployedModel) -> list[str]:
    return list(plain.encoder.networks)


def test_levels_that_are_read_are_those_of_the_wanted_predictions() -> None:
    apart, together = model_of("single_task"), model_of("single_task", "pad_net")
    levels = apart.read_levels(("far",))
    assert list(levels) == [task.name for task in TASKS]
    assert [name for name, read in levels.items() if read] == ["far"]
    assert [name for name, read in apart.read_levels().items() if read] == list(FINALS)
    assert [name for name, read in together.read_levels(("far",)).items() if read] == ["near", "far", "helper"]
    assert [name for name, read in together.read_levels(("classification",)).items() if read] == ["classification"]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((), "a list of one or more of near, far, classification, but got"),
        ("near", "a list of one or more of near, far, classification, but got 'near'"),
        (("faar",), "unknown task to deploy 'faar'.*Did you mean 'far'"),
        (("helper",), "unknown task to deploy 'helper': expected one of classification, far, near"),
    ],
)
def test_tasks_that_cannot_be_deployed(tasks: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        deploy(model_of("hard_sharing"), tasks=tasks)
