"""Tasks and models of an experiment."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build, build_dataset, build_tasks

SMALL: dict[str, Any] = {
    "image_size": (64, 64),
    "backbone": {"name": "timm", "model": "test_resnet"},
    "decoder": {"name": "independent", "head": "linear"},
}
TASKS: list[dict[str, Any] | str] = [{"kind": "depth"}, {"kind": "segmentation", "classes": 3}]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"kind": "depth", "name": "type"}, "cannot be the name"),
        ({"kind": "depth", "name": "a/b"}, "cannot be the name"),
        ({"kind": "depth", "name": "a.b"}, "cannot be the name"),
        ({"kind": "depth", "weight": -1.0}, "0 or more"),
    ],
)
def test_tasks_that_could_not_be_trained_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_tasks(Experiment(tasks=[section]), None)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "depth", "primary": "rmsee"}, "Did you mean 'rmse'"),
        ({"name": "depth", "weight": "much"}, "weight must be a number"),
        ({"name": "depth", "weight": -1}, "0 or more"),
        ({"name": "depth", "auxiliary": "yes"}, "true, false or null, but got 'yes'"),
        ({"kind": "depth"}, "lacks 'name'"),
    ],
)
def test_facts_of_a_dataset_s_task_are_checked(section: dict[str, Any], message: str) -> None:
    config = Experiment(data={"name": "rooms", "size": "tiny"}, tasks=[section, "segmentation"])
    with pytest.raises(UserError, match=message):
        build_tasks(config, build_dataset(config))


def test_a_cross_stitch_network_takes_all_weights_of_single_task_networks() -> None:
    single = build(Experiment(tasks=TASKS, encoder={"name": "single_task"}, **SMALL)).model.state_dict()
    stitched = build(Experiment(tasks=TASKS, encoder={"name": "cross_stitch"}, **SMALL)).model.state_dict()
    assert all(stitched[name].shape == tensor.shape for name, tensor in single.items())
    assert all(name.startswith("encoder.units.") for name in stitched.keys() - single.keys())


@pytest.mark.parametrize("size", [(64, 96), (96, 64)])
def test_a_model_for_one_image_size_is_built_for_that_of_the_experiment(size: tuple[int, int]) -> None:
    coatnet = {"name": "timm", "model": "test_coatnet"}
    built = build(Experiment(tasks=TASKS, **{**SMALL, "image_size": size, "backbone": coatnet}))
    assert built.backbone.image_size == built.image_size == size
    network = built.model.eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size)).by_task["depth"].shape == (1, 1, *size)


def test_an_image_size_that_the_model_cannot_have_is_refused() -> None:
    coatnet = {"name": "timm", "model": "test_coatnet"}
    with pytest.raises(UserError, match=r"no images of 64 x 72: choose multiples of 32 as image_size"):
        build(Experiment(tasks=TASKS, **{**SMALL, "image_size": (64, 72), "backbone": coatnet}))
