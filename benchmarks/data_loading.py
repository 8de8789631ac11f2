"""Images per second of the loader: rooms "small", warm cache, by number of worker processes.

python benchmarks/data_loading.py --out benchmarks/data_loading.md

With ``--against FOLDER`` (the ``src`` of another version) both versions are measured in turns, and the table holds the
ratio of this one to the other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from shared.machine import add_device, caption, refuse_cuda

import frugalmtl
from frugalmtl.core.files import write_text
from frugalmtl.data import Augmentation, Loader, Transform, preset
from frugalmtl.data.datasets.rooms import Rooms

SETTINGS: dict[str, Augmentation | None] = {
    "evaluation": None,
    "hflip": Augmentation(),
    "survey_pascal": preset("survey_pascal"),
    "atrc": preset("atrc"),
}
READING = "reading"


def rate(loader: Loader, epochs: int, clock: Callable[[], float]) -> float:
    """Median images per second over epochs, without the first, which starts workers and fills the page cache."""
    rates = []
    for epoch in range(epochs + 1):
        begin = clock()
        images = sum(len(batch.names) for batch in loader.epoch(epoch))
        rates.append(images / (clock() - begin))
    return statistics.median(rates[1:])


def reading(dataset: Rooms, rounds: int) -> float:
    """Median samples per second of processor time, read from the cache with labels decoded, one process."""
    split = dataset.split("train")
    rates = []
    for _ in range(rounds + 1):
        begin = time.process_time()
        for index in range(len(split)):
            split.load(index)
        rates.append(len(split) / (time.process_time() - begin))
    return statistics.median(rates[1:])


def measure(images: int, epochs: int, workers: list[int]) -> dict[str, float]:
    """All rates of the version that is imported."""
    torch.set_num_threads(1)
    dataset = Rooms(size="small", train=images)
    dataset.prepare(["train"], progress=False)
    rates = {READING: reading(dataset, 3 * epochs)}
    for name, augmentation in SETTINGS.items():
        transform = Transform(dataset.tasks, dataset.pixels, augmentation)
        for count in workers:
            evaluation = augmentation is None
            loader = Loader(dataset.split("train"), transform, batch_size=16, workers=count, evaluation=evaluation)
            rates[f"{name} {count}"] = rate(loader, epochs, time.perf_counter if count else time.process_time)
    return rates


def in_turns(sources: list[Path], turns: int, options: list[str]) -> list[list[dict[str, float]]]:
    """Rates by turn and source, each measured in a process of its own."""
    results = []
    for turn in range(turns):
        row = []
        for source in sources if turn % 2 == 0 else sources[::-1]:  # neither is always the first
            environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, __file__, "--measure", *options]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            row.append(json.loads(done.stdout.splitlines()[-1]))
        results.append(row if turn % 2 == 0 else row[::-1])
        print(f"turn {turn + 1} of {turns} done", file=sys.stderr)
    return results


def table(results: list[list[dict[str, float]]], images: int, epochs: int, workers: list[int]) -> str:
    """Markdown table of all settings: medians over the turns, with the ratio to the other version if there is one."""

    def cell(key: str) -> str:
        here = f"{statistics.median(row[0][key] for row in results):.0f}"
        if len(results[0]) == 1:
            return here
        return f"{here} ({statistics.median(row[0][key] / row[1][key] for row in results):.2f}x)"

    compared = "" if len(results[0]) == 1 else "In brackets: ratio to the version before, median over the turns. "
    lines = [
        "# Data loading",
        "",
        f"Pictures of rooms, `small` (128 x 128, seven tasks), {images} images, batches of 16, warm cache, medians of "
        f"{len(results)} turns of {epochs} epochs, images/s. {compared}{caption('cpu')}; "
        "one thread per process, without workers by processor time. "
        "Made by `benchmarks/data_loading.py`.",
        "",
        f"Reading samples from the cache alone, one process, per second of processor time: {cell(READING)}.",
        "",
        "| augmentation | " + " | ".join(f"{count} workers" for count in workers) + " |",
        "| --- |" + " ---: |" * len(workers),
    ]
    lines += [f"| {name} | " + " | ".join(cell(f"{name} {count}") for count in workers) + " |" for name in SETTINGS]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="file to write (default: print)")
    add_device(parser)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--against", type=Path, default=None, help="src folder of another version, to compare with")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--measure", action="store_true", help="measure the imported version and print its rates")
    arguments = parser.parse_args()
    refuse_cuda(arguments, "samples are loaded")
    if arguments.measure:
        print(json.dumps(measure(arguments.images, arguments.epochs, arguments.workers)))
        return
    sources = [Path(frugalmtl.__file__).parents[1], *([arguments.against] if arguments.against else [])]
    options = ["--images", str(arguments.images), "--epochs", str(arguments.epochs)]
    options += ["--workers", *map(str, arguments.workers)]
    results = in_turns(sources, arguments.turns, options)
    text = table(results, arguments.images, arguments.epochs, arguments.workers)
    if arguments.out is None:
        print(text)
    else:
        write_text(arguments.out, text)


if __name__ == "__main__":
    main()
