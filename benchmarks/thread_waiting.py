"""Time of a training step by how OpenMP's threads wait for one another, alone and beside busy processes.

The threads of a training meet after every operation. The runtime of torch's wheels (libgomp) lets those that are done
wait actively unless told otherwise: they hold a core that another process could use, and if the thread they wait for
is the one that got no core, all wait for the system's next turn. Each policy is measured in processes of its own,
in turns, since the runtime reads it once: its own default (actively), that of the commands of frugalmtl (passively),
and a short spin before a thread goes to sleep (`GOMP_SPINCOUNT`).

python benchmarks/thread_waiting.py --out benchmarks/thread_waiting.md
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from shared.machine import add_device, caption, refuse_cuda

POLICIES: dict[str, dict[str, str]] = {
    "actively": {},
    "passively": {"OMP_WAIT_POLICY": "passive"},
    "spinning 1000 times": {"GOMP_SPINCOUNT": "1000"},
}
TASKS: list[dict[str, object] | str] = [{"kind": "segmentation", "classes": 16}, {"kind": "depth"}, {"kind": "normals"}]
READ = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables of the caller that would decide instead."""
BUSY = "while True: pass"


def measure(steps: int, pixels: int) -> dict[str, float]:
    """Median milliseconds of this process's step, and the steps of which it is the median."""
    from frugalmtl.engine.settings import TrainSettings
    from frugalmtl.engine.step_timing import StepTimer, noise_batch
    from frugalmtl.experiment.config.experiment import Experiment
    from frugalmtl.experiment.runs.build import build

    built = build(
        Experiment(
            image_size=(pixels, pixels),
            tasks=TASKS,
            backbone={"name": "timm", "model": "tf_efficientnet_lite0"},
            decoder={"name": "independent", "head": {"name": "hrnet", "width": 64}},
        )
    )
    timer = StepTimer.at_stage(
        built.model, built.balancer, TrainSettings(), noise_batch(built.tasks, built.image_size, 8), update=True
    )
    times = [timer.time()["total"] for _ in range(steps + 2)][2:]
    return {"ms": statistics.median(times), "worst": max(times)}


def turn(policy: dict[str, str], neighbours: int, options: list[str]) -> dict[str, float]:
    """One process's figures beside so many busy ones."""
    inherited = {key: value for key, value in os.environ.items() if key not in READ}
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(neighbours)]
    try:
        command = [sys.executable, __file__, "--measure", *options]
        done = subprocess.run(command, env={**inherited, **policy}, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure in turns, print the table, write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--policies", nargs="+", choices=list(POLICIES), default=list(POLICIES), metavar="NAME")
    add_device(parser)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", action="store_true", help="measure this process and print its figures")
    arguments = parser.parse_args()
    refuse_cuda(arguments, "threads of OpenMP compute")
    if arguments.measure:
        print(json.dumps(measure(arguments.steps, arguments.pixels)))
        return
    options = ["--steps", str(arguments.steps), "--pixels", str(arguments.pixels)]
    rows: dict[tuple[str, int], list[float]] = {}
    head = caption("cpu", "timm")
    for number in range(arguments.turns):
        for neighbours in arguments.neighbours:
            first = number % len(arguments.policies)
            for name in arguments.policies[first:] + arguments.policies[:first]:
                figures = turn(POLICIES[name], neighbours, options)
                rows.setdefault((name, neighbours), []).append(figures["ms"])
                print(number, neighbours, name, figures, file=sys.stderr)
    medians = {key: statistics.median(values) for key, values in rows.items()}
    base = arguments.policies[0]
    lines = [
        "# Waiting of threads",
        "",
        f"One training step of EfficientNet-Lite0 with three HRNet heads, batch 8, {arguments.pixels} x "
        f"{arguments.pixels}; {head}; ms, medians of {arguments.turns} "
        f"processes of {arguments.steps} steps each, taken in turns; in brackets the ratio to the first row. "
        "Made by `benchmarks/thread_waiting.py`.",
        "",
        "| threads wait | " + " | ".join(f"beside {count} busy processes" for count in arguments.neighbours) + " |",
        "| --- |" + " ---: |" * len(arguments.neighbours),
    ]
    for name in arguments.policies:
        cells = [
            f"{medians[name, count]:.0f} ({medians[name, count] / medians[base, count]:.2f})"
            for count in arguments.neighbours
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        from frugalmtl.core.files import write_text

        write_text(arguments.out, text)


if __name__ == "__main__":
    main()
