"""Wanted tasks: what none of them needs is not run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.backbones.timm import Timm
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS, DecidingEncoder, Encoder
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import TASKS
from tests.support.toys.branched import Branched

NAMES = ("segmentation", "depth", "normals")
SIDE = 64


def encoder_of(name: str, stage: int = -1) -> Encoder:
    torch.manual_seed(0)
    backbone = Timm(model={"adamtl": "test_vit", "mtan": "resnet18"}.get(name, "test_resnet"))
    encoder: Encoder = Branched(backbone, NAMES) if name == "branched" else ENCODERS.build(name, backbone, NAMES)
    encoder.enter_stage(encoder.recipe()[stage].name)
    return encoder.eval()


def model_of(encoder: Encoder, decoder: str) -> MultiTaskModel:
    tasks = [TASKS.build(name if name != "segmentation" else {"name": name, "classes": ["a", "b"]}) for name in NAMES]
    section: dict[str, Any] = {"independent": {"head": "linear"}, "pad_net": {"width": 8, "fuse": False}}[decoder]
    built = DECODERS.build({"name": decoder, **section}, encoder.channels, encoder.strides, tasks)
    return MultiTaskModel(encoder, built, tasks).eval()


def macs(module: nn.Module, *arguments: Any) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*arguments)
    return counter.get_total_flops() / 2


def macs_of_encoder(encoder: Encoder, tasks: tuple[str, ...] | None) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder.branch(encoder.encode(torch.zeros(1, 3, SIDE, SIDE), tasks), tasks)
    return counter.get_total_flops() / 2


def test_single_task_runs_the_wanted_networks_alone() -> None:
    encoder = encoder_of("single_task")
    whole = macs_of_encoder(encoder, None)
    assert macs_of_encoder(encoder, ("depth",)) == whole / 3
    assert macs_of_encoder(encoder, ("depth", "normals")) == whole * 2 / 3
    assert macs_of_encoder(encoder, ()) == 0


@pytest.mark.parametrize("name", ["cross_stitch", "interrogate"])
def test_networks_that_train_alone_run_where_they_are_wanted(name: str) -> None:
    encoder = encoder_of(name, stage=0)
    whole = macs_of_encoder(encoder, None)
    assert macs_of_encoder(encoder, ("normals",)) == whole / 3
    assert macs_of_encoder(encoder_of(name), ("normals",)) >= whole, "later all networks run, since features mix"


def test_a_branched_network_runs_the_wanted_arms() -> None:
    encoder = encoder_of("branched")
    assert isinstance(encoder, Branched)
    trunk, whole = macs_of_encoder(encoder, ("depth",)), macs_of_encoder(encoder, None)
    arm = macs(encoder.arms["depth"][0], encoder.encode(torch.zeros(1, 3, SIDE, SIDE))[-1])
    assert arm > 0
    assert whole - trunk >= 2 * arm
    assert macs_of_encoder(encoder, ("depth", "normals")) == (whole + trunk) / 2


@pytest.mark.parametrize("decoder", ["independent", "pad_net"])
@pytest.mark.parametrize("name", [*ENCODERS.names(), "branched"])
def test_predictions_do_not_depend_on_what_else_is_wanted(name: str, decoder: str) -> None:
    model = model_of(encoder_of(name), decoder)
    image = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        # what runs for one task alone may be less than for all: compared where the same runs
        decisions = model.encoder.decide(image) if isinstance(model.encoder, DecidingEncoder) else None
        whole = model(image, decisions=decisions)
        for tasks in (("depth",), ("segmentation", "normals"), NAMES):
            some = model(image, None, tasks, decisions)
            assert list(some.by_task) == list(tasks)
            assert some.penalties.keys() == whole.penalties.keys()
            for task, raw in some.by_task.items():
                torch.testing.assert_close(raw, whole.by_task[task], rtol=0, atol=1e-5)
        nothing = model(image, None, ())
    assert (nothing.by_task, nothing.auxiliary) == ({}, {})
    assert nothing.penalties.keys() == whole.penalties.keys()


def test_a_decoder_whose_tasks_interact_gets_all_features() -> None:
    apart, together = (model_of(encoder_of("single_task"), name) for name in ("independent", "pad_net"))
    assert apart.encoded_tasks(("depth",)) == ("depth",)
    assert together.encoded_tasks(("depth",)) is None
    assert together.encoded_tasks(()) == ()
    assert apart.encoded_tasks(("normals", "depth", "segmentation")) is None
    image = torch.zeros(1, 3, SIDE, SIDE)
    one = macs(apart, image, None, ("depth",))
    assert one == pytest.approx(macs(apart, image) / 3, rel=0.01)
    assert one < 0.35 * macs(together, image, None, ("depth",))
