"""The single-task sibling of an experiment, told by facts of the members and not by their names."""

from __future__ import annotations

from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.profiling import TimedOn, profile, single_task_sibling
from frugalmtl.experiment.runs.build import build

TASKS: list[dict[str, Any] | str] = [{"kind": "depth"}, {"kind": "segmentation", "classes": 3}]


@pytest.mark.parametrize("decoder", DECODERS.names())
def test_the_sibling_shares_nothing_and_decodes_apart(decoder: str) -> None:
    section = {"name": decoder, "head": "linear"}
    sibling = single_task_sibling(Experiment(tasks=TASKS, decoder=section, encoder={"name": "cross_stitch"}))
    assert not ENCODERS.get(sibling.encoder["name"]).shares
    assert DECODERS.get(sibling.decoder["name"]).separable
    if DECODERS.get(decoder).separable:
        assert sibling.decoder == section
    else:
        assert sibling.decoder["name"] != decoder


def test_one_encoder_alone_shares_nothing() -> None:
    assert [name for name in ENCODERS.names() if not getattr(ENCODERS.get(name), "shares", True)] == ["single_task"]


def test_single_task_networks_cost_as_much_as_their_sibling() -> None:
    config = Experiment(
        tasks=TASKS,
        image_size=(64, 64),
        backbone={"name": "timm", "model": "test_resnet"},
        encoder={"name": "single_task"},
        decoder={"name": "independent", "head": "linear"},
    )
    result = profile(config, build(config), rounds=1)
    for form in ("training", "deployed"):
        ratios = result["ratio_to_single_task"][form]
        assert [ratios[key] for key in ("macs", "params", "bytes")] == [1.0, 1.0, 1.0]
    assert result["device"] == "cpu"


@pytest.mark.parametrize(
    ("device", "graph", "message"),
    [
        ("fast", False, "device must be one of torch's"),
        ("cpu", True, "captured on a GPU, but the device is cpu"),
    ],
)
def test_places_that_are_not_there(device: str, graph: bool, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TimedOn(device, graph)


def test_files_are_timed_beside_their_modules() -> None:
    config = Experiment(
        tasks=TASKS,
        image_size=(64, 64),
        backbone={"name": "timm", "model": "test_resnet"},
        decoder={"name": "independent", "head": "linear"},
    )
    result = profile(config, build(config), rounds=2, place=TimedOn(onnxruntime=True))
    for name in ("deployed", "single_task_deployed"):
        for key, batch in (("onnxruntime_latency_ms", 1), ("onnxruntime_batch_latency_ms", 8)):
            figures = result[name][key]
            assert figures["median"] > 0
            assert (figures["rounds"], figures["batch"]) == (2, batch)
    assert "onnxruntime_latency_ms" not in result["training"], "what is trained is not shipped"
    assert result["ratio_to_single_task"]["deployed"].keys() - result["ratio_to_single_task"]["training"].keys() == {
        "onnxruntime_latency_ms",
        "onnxruntime_batch_latency_ms",
    }
