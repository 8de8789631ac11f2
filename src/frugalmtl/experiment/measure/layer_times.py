"""Table of the times of an experiment's layers on a machine, for prices in time."""

from __future__ import annotations

from functools import partial

from frugalmtl.channels import branch_of, graph_of
from frugalmtl.channels.times import LayerTimes, Machine, layers_of
from frugalmtl.deployment import CapturedPass
from frugalmtl.evaluation.cost.layer_times import SECONDS, Prepare, measure_layers
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build, build_dataset, check, without_weights
from frugalmtl.export._layer_session import LayerSession

RUNTIMES: dict[str, Prepare | None] = {"eager": None, "graph": CapturedPass, "onnxruntime": LayerSession}
"""What puts a layer into a runtime."""


def layer_times(config: Experiment, machine: Machine, batch: int = 1, seconds: float = SECONDS) -> LayerTimes:
    """Times of the layers of an experiment's backbone at its image size; weights do not matter.

    Args:
        config: the experiment.
        machine: this one.
        batch: images at a time.
        seconds: see :func:`~frugalmtl.evaluation.cost.layer_times.measure_layers`.

    Raises:
        UserError: a section does not fit, or a backbone whose channels are not known.
    """
    check(config)
    dataset = build_dataset(config) if config.data is not None else None
    built = build(without_weights(config), dataset)
    graph = graph_of(built.backbone)
    layers = layers_of(graph, branch_of(built.backbone, graph), built.image_size)
    measure = partial(measure_layers, prepare=RUNTIMES[machine.runtime], seconds=seconds)
    return measure(layers.values(), machine, batch=batch)
