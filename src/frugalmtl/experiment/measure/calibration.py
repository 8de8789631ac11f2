"""Latency files: a method's networks from the cheapest to the dearest, timed in onnxruntime on some machine."""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from frugalmtl.channels.times import LayerTimes, Machine, SizedLayer
from frugalmtl.core.budget import HERE, Decision
from frugalmtl.core.checks import UserError
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.files import write_text
from frugalmtl.deployment import DeployedModel, deploy, deployed_with, plan_encoder
from frugalmtl.deployment.elsewhere import BETWEEN
from frugalmtl.deployment.planning import measured_layers
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built, build, build_dataset, network_kind, without_weights
from frugalmtl.experiment.runs.run import Run
from frugalmtl.export import _calibrate
from frugalmtl.export._kit import KitNetwork, write_kit
from frugalmtl.model import MultiTaskModel


class _Collected(Exception):  # noqa: N818  # it is no error
    """Planning has asked for the time of its networks, and need not go on."""


@dataclass
class _Collector:
    """A clock that tells no time: it keeps the networks that it is asked about, and ends the planning."""

    model: MultiTaskModel
    place: str = HERE["onnxruntime"]
    between: int = BETWEEN
    networks: list[DeployedModel] = field(default_factory=list)

    def __call__(self, decisions: Sequence[Decision] = ()) -> list[float]:
        self.networks = deployed_with(self.model, decisions)
        raise _Collected


def write_calibration_kit(source: Experiment | Run, folder: Path) -> list[Path]:
    """Write what another machine times for a budget of time: ONNX files and a script; returns the files.

    The networks are those that the method plans with: the cheapest that it can deploy, the dearest, and some between;
    of a trained run by what it has learned, and the trained network itself. Where its prices are in time, its layers
    are written as well, and the latency file is the table of their times, too.

    Args:
        source: an experiment whose encoder has a budget of time in onnxruntime, of whatever size; or a run of one.
        folder: see :func:`~frugalmtl.export._kit.write_kit`.

    Raises:
        UserError: there is no such budget; see :func:`~frugalmtl.export._kit.write_kit`.
    """
    config = source.config if isinstance(source, Run) else source
    built = source.load() if isinstance(source, Run) else _untrained(source)
    encoder = built.model.encoder
    if encoder.target_latency_ms is None or encoder.target_runtime != "onnxruntime":
        raise UserError(
            "a latency file is for a budget of time in onnxruntime, but the encoder's budget is "
            f"{encoder.budget or 'none'}: give one, e.g. --encoder.budget 35ms@onnxruntime (however many ms)"
        )
    trained = [KitNetwork("the trained network", deploy(built.model))] if isinstance(source, Run) else []
    networks, layers = _range(built)
    facts = asdict(network_kind(config, built.tasks, built.image_size))
    return write_kit([*networks, *trained], facts, built.image_size, folder, layers)


def calibrate_here(source: Experiment | Run, path: Path) -> dict[str, Any]:
    """Time the networks of a kit on this machine, with torch's number of threads, and write the latency file.

    Args:
        source: see :func:`write_calibration_kit`.
        path: the file.

    Raises:
        UserError: see :func:`write_calibration_kit`.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_calibration_kit(source, Path(folder))
        result = _calibrate.measure(Path(folder), torch.get_num_threads())
    write_text(path, json_text(result) + "\n")
    return result


def _untrained(config: Experiment) -> Built:
    return build(without_weights(config), build_dataset(config) if config.data is not None else None)


def _range(built: Built) -> tuple[list[KitNetwork], list[SizedLayer]]:
    """The networks whose time the encoder asks for when it plans, from the cheapest to the dearest, and the layers.

    Layers are measured here to plan with, where it asks for them.
    """
    clock = _Collector(copy.deepcopy(built.model))
    asked: list[SizedLayer] = []

    def measured(layers: Sequence[SizedLayer]) -> LayerTimes:
        asked.extend(layers)
        return measured_layers(Machine.here(), tuple(layers))

    with contextlib.suppress(_Collected):
        plan_encoder(clock.model, built.image_size, clock, layer_times=measured)
    last = len(clock.networks) - 1
    words = {0: "the cheapest", last: "the dearest"}
    return [KitNetwork(words.get(number, "between"), one) for number, one in enumerate(clock.networks)], asked
