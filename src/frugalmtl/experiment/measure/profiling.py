"""Cost of an experiment: the training model and the deployed one, beside the single-task networks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.counting import device_of
from frugalmtl.core.terminal import tracked
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import CapturedPass, DeployedModel, deploy, device_named, require_capturable
from frugalmtl.encoders import ENCODERS
from frugalmtl.evaluation.cost import (
    CONVENTION,
    CostPerImage,
    LatencyStats,
    batches_of,
    cost_per_image,
    decides,
    fitting_rounds,
    latency,
    noise_images,
    peak_memory,
)
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.published import published_beside_measured
from frugalmtl.experiment.runs.build import Built, build, build_dataset, check, without_weights
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.streams.clock import time_elsewhere
from frugalmtl.experiment.runs.streams.images import SplitImages
from frugalmtl.export import OnnxSession, in_onnxruntime, sessions_where_possible

SECONDS = 60.0
"""Time that the rounds of a latency measurement may take where their number is not set."""
BATCH = 8
"""Images in a batch of the second latency measurement."""
BATCH_SECONDS = 8.0
"""Time that its rounds may take; there are never fewer than three, or than of single images."""
DEPLOYED = ("deployed", "single_task_deployed")
_IN_FILE = " in onnxruntime"
LATENCIES = ("latency_ms", "batch_latency_ms", "onnxruntime_latency_ms", "onnxruntime_batch_latency_ms")
"""Keys of measured latencies: eager PyTorch's, and onnxruntime's where it was asked for."""
RATIOS = ("macs", "params", "bytes", "peak_memory")


def single_task_sibling(config: Experiment) -> Experiment:
    """The single-task networks that an experiment is held against: same tasks, backbone and heads.

    A decoder in which tasks interact has no single-task form: its sibling takes the first separable decoder, with its
    defaults.
    """
    encoder = next(name for name in ENCODERS.names() if not ENCODERS.fact(name, "shares", default=True))
    decoder = config.decoder
    if not DECODERS.fact(decoder["name"], "separable", default=False):
        decoder = {"name": next(name for name in DECODERS.names() if DECODERS.fact(name, "separable", default=False))}
    return replace(config, encoder={"name": encoder}, decoder=decoder, balancer=Experiment().balancer)


def measure(
    modules: Mapping[str, nn.Module],
    image_size: tuple[int, int],
    rounds: int | None = None,
    images: Mapping[str, Sequence[Tensor]] | None = None,
    *,
    progress: bool = False,
    captured: Collection[str] = (),
    files: Mapping[str, OnnxSession] | None = None,
) -> dict[str, dict[str, Any]]:
    """Operations, bytes, memory and interleaved latency of several modules.

    Args:
        modules: ``{name: module}``, timed against each other.
        image_size: height and width.
        rounds: rounds of latency; ``None`` takes as many as a minute allows, within limits. Fewer are taken of batches.
        images: ``{name: normalised images [3, H, W]}``, the same images for all modules; noise if not given.
        progress: show a bar while operations are counted; none while time is measured, which it would take part in.
        captured: names of modules whose time is that of a CUDA graph of them.
        files: ``{name: its ONNX file in onnxruntime}``, timed in the same rounds.

    Returns:
        ``{name: {macs, macs_p5, macs_p95, flops, products, params, bytes, images, peak_memory, latency_ms,
        batch_latency_ms}}``, the first as in :class:`~frugalmtl.evaluation.cost.CostPerImage`, and of those with a file
        ``onnxruntime_latency_ms`` and ``onnxruntime_batch_latency_ms``. Latencies are milliseconds per image,
        ``{runtime, median, p95, mean, typical, rounds, images, batch}``, of single images and of batches; typical is
        the median over the rounds, or, where images cost differently, the mean over them. Peak memory is that of a
        single image, of the worst one where they differ.

    Raises:
        UserError: noise, and a module that chooses for each image what it runs; or such a module is to be captured.
    """
    seen: Mapping[str, Sequence[Tensor]]
    if images is None:
        noise = list(noise_images(modules.values(), image_size, BATCH))
        seen = dict.fromkeys(modules, noise)
    else:
        seen = images
    files = files or {}
    timed = {**modules, **{f"{name}{_IN_FILE}": session for name, session in files.items()}}
    seen = {**seen, **{f"{name}{_IN_FILE}": seen[name] for name in files}}
    rounds = rounds or fitting_rounds(timed, _batches(seen, 1, 1), SECONDS)
    batch_rounds = min(rounds, fitting_rounds(timed, _batches(seen, BATCH, 1), BATCH_SECONDS))
    singles, batches = _batches(seen, 1, rounds), _batches(seen, BATCH, batch_rounds)
    single = latency(_with_graphs(timed, singles, captured), singles, rounds=rounds, warmup=1)
    batched = latency(_with_graphs(timed, batches, captured), batches, rounds=batch_rounds, warmup=1)
    result: dict[str, dict[str, Any]] = {}
    for name, module in tracked(modules.items(), "counting operations", shown=progress):
        cost = cost_per_image(module, image_size, None if images is None else images[name])
        runtime = "CUDA graph" if name in captured else "eager"
        result[name] = {
            **cost.as_dict(),
            "peak_memory": _peak(module, batches_of(seen[name], 1, rounds)),
            "latency_ms": _milliseconds(single[name], cost, runtime),
            "batch_latency_ms": _milliseconds(batched[name], cost, runtime),
        }
        if name in files:
            result[name]["onnxruntime_latency_ms"] = _milliseconds(single[f"{name}{_IN_FILE}"], cost, "onnxruntime")
            in_batch = _milliseconds(batched[f"{name}{_IN_FILE}"], cost, "onnxruntime")
            result[name]["onnxruntime_batch_latency_ms"] = in_batch
    return result


def _batches(images: Mapping[str, Sequence[Tensor]], size: int, count: int) -> dict[str, list[Tensor]]:
    return {name: batches_of(each, size, count) for name, each in images.items()}


def _with_graphs(
    modules: Mapping[str, nn.Module], batches: Mapping[str, Sequence[Tensor]], captured: Collection[str]
) -> dict[str, nn.Module]:
    """The modules, some of them as CUDA graphs for batches of that shape."""
    return {
        name: CapturedPass(module, batches[name][0].to(device_of(module))) if name in captured else module
        for name, module in modules.items()
    }


def _peak(module: nn.Module, batches: Sequence[Tensor]) -> int:
    return max(peak_memory(module, batch) for batch in (batches if decides(module) else batches[:1]))


def _milliseconds(stats: LatencyStats, cost: CostPerImage, runtime: str) -> dict[str, float | str]:
    """Milliseconds per image, whose they are, and what they are of."""
    return {
        "runtime": runtime,
        "median": stats.median_ms / stats.batch,
        "p95": stats.p95_ms / stats.batch,
        "mean": stats.mean_ms / stats.batch,
        "typical": (stats.mean_ms if cost.macs_p5 < cost.macs_p95 else stats.median_ms) / stats.batch,
        "rounds": stats.rounds,
        "images": stats.batches * stats.batch,
        "batch": stats.batch,
    }


def ratios(cost: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """Every figure of ``cost`` divided by the reference's; latency by what is typical of each."""
    result = {key: cost[key] / reference[key] for key in RATIOS}
    for key in LATENCIES:
        if key in cost and key in reference:
            result[key] = cost[key]["typical"] / reference[key]["typical"]
    return result


@dataclass(frozen=True)
class TimedOn:
    """Where networks are timed.

    Attributes:
        device: that they run on.
        graph: deployed ones run as CUDA graphs.
        onnxruntime: deployed ones are also timed as ONNX files in onnxruntime; None for where that can be, and else a
            note says why not.

    Raises:
        UserError: there is no such device, or one without graphs or on which files are not timed.
    """

    device: str = "cpu"
    graph: bool = False
    onnxruntime: bool | None = False

    def __post_init__(self) -> None:
        """Check the values."""
        place = device_named(self.device)
        if self.graph:
            require_capturable(place, decides=False)
        if self.onnxruntime and place.type != "cpu":
            raise UserError(
                f"runtime onnxruntime is timed on the CPU alone, but device is {self.device}: leave one out"
            )


def profile_run(run: Run, rounds: int | None = None, place: TimedOn | None = None) -> dict[str, Any]:
    """:func:`profile` of a trained run.

    Args:
        run: finished, at an operating point if wanted.
        rounds: see :func:`measure`.
        place: where it is measured; the CPU if None.

    Raises:
        UserError: the run is not finished, or lacks the data that its model is measured on.
    """
    built, deployed = run.deployed()
    figures = profile(run.config, built, rounds, trained=True, deployed=deployed, place=place)
    return {**figures, "name": f"{run.config.name}{run.at_point}"}


def profile_config(config: Experiment, rounds: int | None = None, place: TimedOn | None = None) -> dict[str, Any]:
    """:func:`profile` of an experiment that has not been trained.

    Raises:
        UserError: a section does not fit; or its encoder chooses for each image what it runs, and there are none.
    """
    check(config)
    if config.data is None and ENCODERS.fact(config.encoder["name"], "decides", default=False):
        raise UserError(
            f"encoder {config.encoder['name']!r} chooses for each image what it runs, so its cost is measured on "
            "images: add a section 'data' to the config, or profile the folder of a trained run"
        )
    dataset = build_dataset(config) if config.data is not None else None
    return profile(config, build(config, dataset), rounds, place=place)


def profile(
    config: Experiment,
    built: Built,
    rounds: int | None = None,
    *,
    trained: bool = False,
    deployed: DeployedModel | None = None,
    place: TimedOn | None = None,
) -> dict[str, Any]:
    """The cost of an experiment as one JSON-ready mapping.

    An encoder that chooses for each image what it runs is measured on images of the test split, as all that it is held
    against; the cost of others needs no data.

    Args:
        config: the experiment; its single-task sibling is built from it with random weights (they do not matter here).
        built: its model, trained or not.
        rounds: see :func:`measure`.
        trained: the model has been trained. The published figures of a method that decides its cost while it trains are
            held against the deployed model then, against nothing before; those of others against the training model.
        deployed: the model deployed, if it is already.
        place: where it is measured; the CPU if None.

    Raises:
        UserError: the experiment has no images, and its encoder needs them.
    """
    layout = config.train.memory_format  # the training models in the layout they are trained in: deploying adds none
    sibling_config = replace(single_task_sibling(config), image_size=built.image_size)
    sibling = build(without_weights(sibling_config), tasks=built.tasks)
    modules: dict[str, nn.Module] = {
        "training": built.model.to(memory_format=layout),
        "deployed": deployed or deploy(built.model),
        "single_task": sibling.model.to(memory_format=layout),
        "single_task_deployed": deploy(sibling.model),
    }
    place = place or TimedOn()
    for module in modules.values():
        module.to(place.device)
    captured = DEPLOYED if place.graph else ()
    images = SplitImages.of(config).seen_by(built, config) if decides(modules["deployed"]) else None
    files, notes = _files(modules, built.image_size, place)
    measured = measure(
        modules,
        built.image_size,
        rounds,
        None if images is None else dict.fromkeys(modules, images),
        captured=captured,
        files=files,
    )
    there = time_elsewhere(built, float(measured["deployed"]["macs"]))
    learns_cost = built.model.encoder.learns_cost
    comparable = None if learns_cost and not trained else measured["deployed" if learns_cost else "training"]
    return {
        "name": config.name,
        "image_size": list(built.image_size),
        "batch": 1,
        "device": f"{place.device}, captured" if place.graph else place.device,
        "split": None if images is None else config.test_split,
        "cost_decided": trained or not learns_cost,
        "convention": CONVENTION,
        "single_task_decoder": sibling_config.decoder,
        **measured,
        "ratio_to_single_task": {
            "training": ratios(measured["training"], measured["single_task"]),
            "deployed": ratios(measured["deployed"], measured["single_task_deployed"]),
        },
        "elsewhere": None if there is None else {**asdict(there), "budget": built.model.encoder.budget},
        "notes": notes,
        "published": published_beside_measured(config, comparable),
    }


def _files(
    modules: Mapping[str, nn.Module], image_size: tuple[int, int], place: TimedOn
) -> tuple[dict[str, OnnxSession], list[str]]:
    """The ONNX files of deployed networks in onnxruntime, as far as they are to be timed, and why they are not."""
    if place.onnxruntime is False or (place.onnxruntime is None and device_named(place.device).type != "cpu"):
        return {}, []
    if place.onnxruntime:
        return {name: in_onnxruntime(modules[name], image_size) for name in DEPLOYED}, []
    files, reasons = sessions_where_possible({name: modules[name] for name in DEPLOYED}, image_size)
    notes = [f"{name.replace('_', ' ')}: not timed in onnxruntime: {reason}" for name, reason in reasons.items()]
    return files, notes
