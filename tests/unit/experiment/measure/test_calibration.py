"""Networks of a calibration kit: from the cheapest that a method can deploy to the dearest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.channels.times import SizedLayer
from frugalmtl.core.checks import UserError
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.deployment import plan_encoder
from frugalmtl.deployment.elsewhere import NetworkKind
from frugalmtl.evaluation.cost import count
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.calibration import write_calibration_kit
from frugalmtl.experiment.runs.build import build, build_tasks, network_kind
from frugalmtl.experiment.runs.streams.clock import clock_of, time_elsewhere
from frugalmtl.export._kit import KitNetwork

SIZE = (32, 32)
ENCODERS: list[dict[str, Any]] = [{"name": "interrogate", "frozen_share": 0.5}, {"name": "adashare"}]


def config(**changes: Any) -> Experiment:
    return Experiment(
        tasks=[{"kind": "depth"}, {"kind": "human_parts"}],
        image_size=SIZE,
        backbone={"name": "cifar_resnet", "depth": 8, "shortcut": "B"},
        decoder={"name": "independent", "head": "linear"},
        **changes,
    )


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What kits would be written of; none is."""
    kits: list[Any] = []

    def keep(networks: list[KitNetwork], facts: Any, size: tuple[int, int], folder: Path, layers: Any) -> list[Path]:
        kits.append((networks, facts, size, layers))
        return [folder]

    monkeypatch.setattr("frugalmtl.experiment.measure.calibration.write_kit", keep)
    return kits


def timed(kit: Any, path: Path) -> dict[str, Any]:
    """The file of a box on which a million multiply-adds take a millisecond, and every network one more."""
    networks, facts, size, _ = kit
    records = []
    for number, one in enumerate(networks):
        macs = count(one.deployed, size).macs
        records.append({"file": f"{number}", "words": one.words, "macs": macs, "milliseconds": 1.0 + macs / 1e6})
    machine = {"device": "cpu", "name": "a box", "instructions": "AVX2", "threads": 1, "runtime": "onnxruntime"}
    content = {"format": 1, "machine": machine, "network": facts, "rounds": 9, "networks": records}
    path.write_text(json_text(content))
    return content


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda section: section["name"])
def test_a_training_keeps_the_time_of_the_box(encoder: dict[str, Any], written: list[Any], tmp_path: Path) -> None:
    asked = config(encoder={**encoder, "budget": "9ms@onnxruntime"})
    write_calibration_kit(asked, tmp_path)
    content = timed(written[0], tmp_path / "box.json")
    networks = content["networks"]
    assert [one["words"] for one in networks] == ["the cheapest", *["between"] * 3, "the dearest"]
    assert [one["macs"] for one in networks] == sorted({one["macs"] for one in networks})
    least, most = networks[0]["milliseconds"], networks[-1]["milliseconds"]

    def built(milliseconds: float) -> Any:
        section = {**encoder, "budget": f"{milliseconds:.4f}ms@onnxruntime"}
        return build(config(encoder=section, latency=str(tmp_path / "box.json")))

    wanted = 0.4 * least + 0.6 * most
    one = built(wanted)
    plan_encoder(one.model, SIZE, clock_of(one))
    assert one.model.encoder.target_macs == pytest.approx((wanted - 1.0) * 1e6, rel=0.01)
    there = time_elsewhere(one, one.model.encoder.target_macs)
    assert there is not None
    assert there.milliseconds == pytest.approx(wanted, rel=0.01)
    low = built(0.5 * least)
    with pytest.raises(
        UserError, match=rf"cannot be kept: on the machine of .*a box, 1 threads.* takes {least:.4g} ms"
    ):
        plan_encoder(low.model, SIZE, clock_of(low))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"name": "hard_sharing"}, "the encoder's budget is none: give one, e.g. --encoder.budget 35ms@onnxruntime"),
        ({**ENCODERS[0], "budget": "0.6x"}, "the encoder's budget is 0.6x"),
        ({**ENCODERS[0], "budget": "9ms"}, "the encoder's budget is 9ms"),
    ],
)
def test_a_kit_is_for_a_budget_of_time(encoder: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        write_calibration_kit(config(encoder=encoder), tmp_path / "kit")
    assert not (tmp_path / "kit").exists()


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"name": "hard_sharing"}, "latency: box.json is what a budget of time is held against, but .* is none"),
        ({**ENCODERS[0], "budget": "0.6x"}, "the encoder's budget is 0.6x: leave it out"),
        ({**ENCODERS[0], "budget": "9ms"}, "but the budget 9ms is of eager PyTorch: write 9ms@onnxruntime"),
    ],
)
def test_a_file_without_such_a_budget_is_refused(encoder: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        clock_of(build(config(encoder=encoder, latency="box.json")))


@pytest.mark.slow
def test_layers_are_timed_where_prices_are_in_time(written: list[Any], tmp_path: Path) -> None:
    for section in ({}, {"price": "time"}):
        encoder = {**ENCODERS[0], "budget": "9ms@onnxruntime", **section}
        write_calibration_kit(config(encoder=encoder), tmp_path)
    assert [len(kit[3]) > 0 for kit in written] == [False, True]
    assert all(isinstance(layer, SizedLayer) for layer in written[1][3])
    assert len(written[1][0]) == 5


def test_facts_of_a_network_are_those_that_its_time_depends_on() -> None:
    """Neither weights nor the budget are among them, and tasks that are not deployed are none."""
    tasks = build_tasks(config(), None)
    tasks = (*tasks, replace(tasks[0], name="help", auxiliary=True))
    asked = config(encoder={**ENCODERS[0], "budget": "9ms@onnxruntime"})
    pretrained = replace(asked, backbone={**asked.backbone, "weights": "a file"})
    facts = network_kind(pretrained, tasks, SIZE)
    assert facts == NetworkKind(
        SIZE,
        "interrogate",
        "{depth: 8, name: 'cifar_resnet', shortcut: 'B'}",
        "{head: 'linear', name: 'independent'}",
        {"depth": 1, "human_parts": 7},
    )
