"""Latency of deployed InterroGate networks against the multiply-adds that they save.

python benchmarks/interrogate_latency.py --out benchmarks/interrogate_latency.md

Single-task networks, hard sharing and InterroGate, all deployed, are timed in one interleaved run per table; read the
quotients. Weights are random: time does not depend on what was learned, only on which channels are left. A sweep over
budgets freezes gates as training does, at alphas spread around their first value; beside it stand gates that are open
at random, which scatters own channels over all layers and is the hardest case for the layout.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from shared.machine import add_device, caption, chosen_device
from torch import nn

from frugalmtl.channels.times import Machine
from frugalmtl.channels.times.machine import NumberFormat
from frugalmtl.core.files import write_text
from frugalmtl.deployment import CapturedPass, deploy, plan_encoder
from frugalmtl.encoders.interrogate.budget.rounding import rounded
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.evaluation.cost import count, timed_rounds
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.layer_times import layer_times
from frugalmtl.experiment.runs.build import build
from frugalmtl.export import EXPORTERS, OnnxSession
from frugalmtl.model import MultiTaskModel

HEAD: dict[str, object] = {"name": "independent", "head": {"name": "hrnet", "width": 64}}
TASKS: list[dict[str, object] | str] = [{"kind": "segmentation", "classes": 16}, {"kind": "depth"}, {"kind": "normals"}]
SINGLE, SHARED = "single-task networks", "hard sharing"
SWEEPS = {"none": "InterroGate, budget ", "residual": "InterroGate, tied gates, budget "}
"""Names of rows, by which sites share their gates."""
BUDGETS = (0.45, 0.6, 0.75, 0.9)
PRICED = 0.6
"""Budget of the row whose gates close by measured time."""
SPREAD = 0.5
"""Standard deviation of alpha over its first value: about that of the short trainings in docs/results."""
SHARES = (0.5,)
ODD = 0.5
"""Share of own channels at the point whose widths are not rounded."""
MULTIPLE = 16
"""What AVX-512 likes best; at multiples of 8 quotients were up to 0.08 larger."""
GATES: dict[str, object] = {"multiple": MULTIPLE, "frozen_share": 0.5}
EXPECTED = {"resnet18": 1.10, "hrnet_w18": 1.15}
"""Largest quotient that counts as saved on the clock."""
EXPECTED_ON_GPUS = 1.25
TOLERANCE = 1e-3
"""Random networks end in larger sums than trained ones; the files are checked, but are not what is measured here."""


@dataclass
class Point:
    """One row: a deployed model and its multiply-adds per image."""

    module: nn.Module
    macs: int


def random_gates(encoder: InterroGate, share: float, *, even: bool = True, seed: int = 0) -> None:
    """Open a share of all gates, the same ones and more at a larger share.

    Args:
        encoder: its gates are set.
        share: of own channels.
        even: round own and shared widths to multiples, as frozen gates are.
        seed: of the gates.
    """
    alpha = encoder.gates.alpha
    scores = share - torch.rand(alpha.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if encoder.budget_control is None:
        raise ValueError("widths are rounded only by an encoder with multiple > 1")
    chosen = rounded(scores.numpy(), encoder.budget_control.groups) if even else (scores > 0).numpy()
    with torch.no_grad():
        alpha.copy_(torch.from_numpy(np.where(chosen, 1.0, -1.0)))


def frozen_gates(encoder: InterroGate, budget: float, *, seed: int = 0) -> None:
    """Gates as training freezes them at a budget.

    Args:
        encoder: its gates are set; it knows what the rest of the model costs.
        budget: multiply-adds over those of the single-task networks.
        seed: of the alphas.
    """
    alpha = encoder.gates.alpha
    noise = torch.randn(alpha.shape, generator=torch.Generator().manual_seed(seed))
    if encoder.budget_control is None:
        raise ValueError("gates are frozen at a cost only by an encoder with a budget")
    with torch.no_grad():
        alpha.copy_(1.0 + SPREAD * noise)
    encoder.budget_control.freeze(encoder.macs_of, budget * encoder.budget_control.full)


def config_of(backbone: str, encoder: dict[str, object], size: int) -> Experiment:
    """Three dense tasks with one light head each."""
    return Experiment(
        image_size=(size, size),
        tasks=TASKS,
        backbone={"name": "timm", "model": backbone},
        encoder=encoder,
        decoder=HEAD,
    )


def model_of(backbone: str, encoder: dict[str, object], size: int) -> MultiTaskModel:
    """The model of :func:`config_of`."""
    return build(config_of(backbone, encoder, size)).model


def gated(backbone: str, size: int, **options: object) -> tuple[MultiTaskModel, InterroGate]:
    """A model whose gates are about to be set, and its encoder."""
    model = model_of(backbone, {"name": "interrogate", "budget": "0.6x", **options, **GATES}, size)
    encoder = model.encoder
    if not isinstance(encoder, InterroGate):
        raise TypeError("another encoder than was asked for")
    encoder.enter_stage("joint")
    plan_encoder(model, (size, size))
    return model, encoder


def points(backbone: str, size: int, budgets: Sequence[float], shares: Sequence[float]) -> dict[str, Point]:
    """All rows of a backbone, deployed; the first one is the reference."""

    def ready(model: MultiTaskModel) -> Point:
        module = deploy(model, tolerance=TOLERANCE)
        return Point(module, count(module, (size, size)).macs)

    rows = {
        SINGLE: ready(model_of(backbone, {"name": "single_task"}, size)),
        SHARED: ready(model_of(backbone, {"name": "hard_sharing"}, size)),
    }
    for tie, sweep in SWEEPS.items():
        model, encoder = gated(backbone, size, tie=tie)
        for budget in budgets:
            frozen_gates(encoder, budget)
            rows[f"{sweep}{budget:.2f}x"] = ready(model)
    model, encoder = gated(backbone, size)
    for share in shares:
        random_gates(encoder, share)
        rows[f"InterroGate, {share:.0%} own at random"] = ready(model)
    if shares:
        random_gates(encoder, ODD, even=False)
        rows[f"InterroGate, {ODD:.0%} own at random, odd widths"] = ready(model)
    return rows


def priced(backbone: str, size: int, machine: Machine) -> Point:
    """A network whose gates close by the time of layers on a machine, at batch 1."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "times.json"
        table_of_layers = layer_times(config_of(backbone, {"name": "single_task"}, size), machine)
        file.write_text(table_of_layers.to_json(), encoding="utf-8")
        model, encoder = gated(backbone, size, price="time", layer_times=str(file))
    frozen_gates(encoder, PRICED)
    module = deploy(model, tolerance=TOLERANCE)
    return Point(module, count(module, (size, size)).macs)


def sessions(rows: dict[str, Point], folder: Path, size: int, batches: Sequence[int]) -> dict[str, Point]:
    """The same points in onnxruntime."""
    # One file for all batch sizes.
    dynamic = any(batch > 1 for batch in batches)
    export = EXPORTERS.build({"name": "onnx", "batch": None if dynamic else 1, "tolerance": TOLERANCE})
    result = {}
    for number, (name, point) in enumerate(rows.items()):
        path = folder / f"{number}.onnx"
        export(point.module, path, (size, size))
        result[name] = Point(OnnxSession(path.read_bytes()), point.macs)
        path.unlink()
    return result


def table(
    rows: dict[str, Point], batch: int, options: argparse.Namespace, machine: Machine, goal: float | None
) -> list[str]:
    """Markdown lines of one interleaved run, held against the largest quotient that is asked for."""
    image = torch.randn(batch, 3, options.size, options.size, generator=torch.Generator().manual_seed(0))
    image = image.to(machine.device, getattr(torch, machine.dtype))
    modules = {name: point.module for name, point in rows.items()}
    if machine.runtime == "graph":
        modules = {name: CapturedPass(module, image) for name, module in modules.items()}
    times = {name: np.array(values) for name, values in timed_rounds(modules, image, rounds=options.rounds).items()}
    lines = [
        "| point | GMAC per image | ms | quartiles apart | MACs / single | time / single | quotient |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    quotients: dict[str, float] = {}
    for name, point in rows.items():
        macs = point.macs / rows[SINGLE].macs
        # Both from the same round: what slows one pass on a machine that is not quiet slows its neighbours too.
        time = float(np.median(times[name] / times[SINGLE]))
        q25, median, q75 = np.percentile(times[name], [25, 50, 75])
        quotients[name] = time / macs
        lines.append(
            f"| {name} | {point.macs / 1e9:.3f} | {median:.2f} | {q75 - q25:.2f} "
            f"| {macs:.3f} | {time:.3f} | {quotients[name]:.3f} |"
        )
    return [*lines, *verdicts(quotients, goal)]


def verdicts(quotients: dict[str, float], expected: float | None) -> list[str]:
    """Markdown lines on the largest quotient of every sweep; none if nothing is expected of the backbone."""
    lines: list[str] = []
    for start in SWEEPS.values():
        sweep = {name: value for name, value in quotients.items() if name.startswith(start)}
        if sweep and expected is not None:
            worst = max(sweep, key=lambda name: sweep[name])
            verdict = "as" if sweep[worst] <= expected else "more than"
            lines += ["", f"Largest quotient: {sweep[worst]:.3f} ({worst}), {verdict} asked for ({expected:.2f})."]
    return lines


def tables(backbone: str, machine: Machine, options: argparse.Namespace) -> list[str]:
    """All tables of a backbone in a runtime and number format."""
    lines: list[str] = []
    timed = points(backbone, options.size, options.budgets, options.shares)
    timed[f"InterroGate, price by time, {PRICED:.2f}x"] = priced(backbone, options.size, machine)
    for point in timed.values():
        point.module.to(machine.device, getattr(torch, machine.dtype))
    if machine.runtime == "onnxruntime":
        with tempfile.TemporaryDirectory() as folder:
            timed = sessions(timed, Path(folder), options.size, options.batches)
    gc.collect()
    goal = EXPECTED_ON_GPUS if machine.device == "cuda" else EXPECTED.get(backbone)
    for batch in options.batches:
        part = [f"## {backbone}, {machine.runtime}, {machine.dtype}, batch {batch}", ""]
        part += [*table(timed, batch, options, machine, goal), ""]
        print("\n".join(part), flush=True)
        lines += part
    return lines


def machines_of(options: argparse.Namespace) -> list[Machine]:
    """Every runtime and number format that is measured."""
    if options.device == "cpu":
        return [Machine.here("cpu", "float32", runtime) for runtime in options.runtimes or ["eager", "onnxruntime"]]
    formats: tuple[NumberFormat, ...] = ("float32", "bfloat16")
    runtimes = options.runtimes or ["eager", "graph"]
    return [Machine.here("cuda", dtype, runtime) for runtime in runtimes for dtype in formats]


def main() -> None:
    """Measure, print and optionally write the tables."""
    parser = argparse.ArgumentParser(description="Saved operations and saved time of deployed InterroGate networks.")
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "hrnet_w18"], help="timm models")
    parser.add_argument("--batches", nargs="+", type=int, help="images at a time; 1 8, on a GPU 1 8 32")
    parser.add_argument("--rounds", type=int, default=25, help="interleaved rounds, of which the median is taken")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch and of onnxruntime")
    parser.add_argument("--size", type=int, default=256, help="height and width of the image in pixels")
    parser.add_argument(
        "--runtimes",
        nargs="+",
        choices=["eager", "graph", "onnxruntime"],
        help="what runs it; on a CPU eager onnxruntime, on a GPU eager graph",
    )
    parser.add_argument("--budgets", nargs="*", type=float, default=list(BUDGETS), help="over the single-task networks")
    parser.add_argument("--shares", nargs="*", type=float, default=list(SHARES), help="of own channels at random")
    add_device(parser, "eager and captured graphs, in float32 and bfloat16")
    parser.add_argument("--out", help="file for the markdown tables")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = chosen_device(options)
    options.batches = options.batches or ([1, 8, 32] if device.type == "cuda" else [1, 8])
    head = [
        "# Time that InterroGate saves",
        "",
        f"{caption(device, 'timm')}, onnxruntime {onnxruntime.__version__}; "
        f"images {options.size} x {options.size}; medians of {options.rounds} "
        "interleaved rounds over all rows of a table. Made by `benchmarks/interrogate_latency.py`.",
        "",
        "Three dense tasks, one head (hrnet, 64 channels) each, deployed (eager: channels-last). The sweep freezes "
        f"gates at a budget as training does, from alphas with a spread of {SPREAD} of their mean, in widths that are "
        f"multiples of {MULTIPLE}. At random: every gate is open with that probability, before and after "
        "rounding; shared channels are those that any task picks, so half of them own cost far more than half. GMAC: "
        "10^9 multiply-adds of the whole model, heads included. "
        "Time / single: the median over rounds of the time over that of the single-task networks in the same round. "
        "Quotient: time / single over MACs / single; 1 means that all saved operations are saved on the clock. Tied: "
        "sites whose channels are added to each other share their gates. Price by time: gates close by what layers "
        "take on this machine, in this runtime and number format at batch 1, and not by their multiply-adds.",
        "",
    ]
    print("\n".join(head))
    lines = list(head)
    for backbone in options.backbones:
        for machine in machines_of(options):
            lines += tables(backbone, machine, options)
            if options.out:  # files of deep backbones take minutes each: keep what is there
                write_text(options.out, "\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
