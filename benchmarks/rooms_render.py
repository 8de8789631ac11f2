"""Speed of the renderer of rooms: pictures per second on one core, per image size.

Usage: OMP_NUM_THREADS=1 python benchmarks/rooms_render.py [--seeds 60] [--repeats 3] [--out rooms_render.md]

Processor time of this process is measured, so other work on the machine disturbs little. Every seed is rendered once
per repetition; the median over repetitions of the mean rate is reported, and the median and slowest single picture.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from frugalmtl.core.files import write_text
from frugalmtl_rooms import render

SIZES = (64, 128, 256)


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def measure(size: int, seeds: int, repeats: int) -> tuple[float, float, float]:
    """Median pictures per second; median and worst milliseconds of a single picture."""
    render(seeds, size)
    rates, singles = [], []
    for _ in range(repeats):
        times = []
        for seed in range(seeds):
            start = time.process_time()
            render(seed, size)
            times.append(time.process_time() - start)
        rates.append(seeds / sum(times))
        singles.extend(times)
    return median(rates), 1000 * median(singles), 1000 * max(singles)


def main() -> None:
    """Measure, print and optionally write the table."""
    parser = argparse.ArgumentParser(description="Speed of the renderer of rooms on one core.")
    parser.add_argument("--seeds", type=int, default=60, help="pictures per repetition")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions, of which the median is taken")
    parser.add_argument("--out", help="file for the markdown table")
    options = parser.parse_args()
    lines = [
        f"Machine: {processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, NumPy {np.__version__}; "
        f"one thread; {options.seeds} seeds, median of {options.repeats} repetitions.",
        "",
        "| size | images/s/core | median ms | slowest ms |",
        "|---:|---:|---:|---:|",
    ]
    print("\n".join(lines))
    for size in SIZES:
        rate, middle, worst = measure(size, options.seeds, options.repeats)
        lines.append(f"| {size} x {size} | {rate:.1f} | {middle:.1f} | {worst:.1f} |")
        print(lines[-1], flush=True)
    if options.out:
        write_text(options.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
