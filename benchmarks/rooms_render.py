"""Speed of the renderer of rooms: pictures per second on one core, per image size.

Usage: OMP_NUM_THREADS=1 python benchmarks/rooms_render.py [--seeds 60] [--repeats 3] [--out rooms_render.md]

With ``--against FOLDER`` (where another version of ``frugalmtl_rooms`` can be imported) both versions are measured in
turns, and the table holds the ratio of this one to the other.

Processor time of this process is measured, so other work on the machine disturbs little. Every seed is rendered once
per repetition; the median over repetitions of the mean rate is reported, and the median and slowest single picture.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from shared.machine import add_device, caption, refuse_cuda

import frugalmtl_rooms
from frugalmtl.core.files import write_text
from frugalmtl_rooms import render

SIZES = (64, 128, 256)


def measure(size: int, seeds: int) -> list[float]:
    """Milliseconds of processor time for the picture of each seed."""
    render(seeds, size)
    times = []
    for seed in range(seeds):
        start = time.process_time()
        render(seed, size)
        times.append(1000 * (time.process_time() - start))
    return times


def measure_there(folder: str, size: int, seeds: int) -> list[float]:
    """The same for the version in another folder, in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(size), "--seeds", str(seeds)]
    environment = {**os.environ, "PYTHONPATH": folder}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    times: list[float] = json.loads(done.stdout)
    return times


def main() -> None:
    """Measure, print and optionally write the table."""
    parser = argparse.ArgumentParser(description="Speed of the renderer of rooms on one core.")
    parser.add_argument("--seeds", type=int, default=60, help="pictures per repetition")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions, of which the median is taken")
    parser.add_argument("--against", help="import path of another version, to compare with")
    parser.add_argument("--measure", type=int, help="print the times of one size, as JSON")
    add_device(parser)
    parser.add_argument("--out", help="file for the markdown table")
    options = parser.parse_args()
    refuse_cuda(options, "rooms are rendered by NumPy")
    if options.measure:
        print(json.dumps(measure(options.measure, options.seeds)))
        return
    here = str(Path(frugalmtl_rooms.__file__).parents[1])
    ratio, rule = (" ratio to before |", "---:|") if options.against else ("", "")
    lines = [
        f"{caption('cpu', 'python')}, NumPy {np.__version__}; one thread renders; "
        f"{options.seeds} seeds, median of {options.repeats} repetitions.",
        "",
        f"| size | images/s/core | median ms | slowest ms |{ratio}",
        f"|---:|---:|---:|---:|{rule}",
    ]
    print("\n".join(lines))
    for size in SIZES:
        turns, ratios = [], []
        for _ in range(options.repeats):
            turns.append(measure_there(here, size, options.seeds))
            if options.against:
                other = measure_there(options.against, size, options.seeds)
                ratios.append(median(theirs / ours for ours, theirs in zip(turns[-1], other, strict=True)))
        rate = median(1000 * len(turn) / sum(turn) for turn in turns)
        single = [value for turn in turns for value in turn]
        compared = f" {median(ratios):.2f}x |" if ratios else ""
        lines.append(f"| {size} x {size} | {rate:.1f} | {median(single):.1f} | {max(single):.1f} |{compared}")
        print(lines[-1], flush=True)
    if options.out:
        write_text(options.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
