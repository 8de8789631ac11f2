"""Images per second of the loader: rooms "small", warm cache, by number of worker processes.

python benchmarks/data_loading.py --out benchmarks/data_loading.md

With ``--against FOLDER`` (the ``src`` of another version) reading from the cache is measured for both, in turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

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


def rate(loader: Loader, epochs: int) -> float:
    """Median images per second over epochs, without the first, which starts workers and fills the page cache."""
    rates = []
    for epoch in range(epochs + 1):
        begin = time.perf_counter()
        images = sum(len(batch.names) for batch in loader.epoch(epoch))
        rates.append(images / (time.perf_counter() - begin))
    return statistics.median(rates[1:])


READING = """
import sys, time
import torch
from frugalmtl.data.datasets.rooms import Rooms

torch.set_num_threads(1)
images, rounds = int(sys.argv[1]), int(sys.argv[2])
dataset = Rooms(size="small", train=images)
dataset.prepare(["train"], progress=False)
split = dataset.split("train")
for _ in range(rounds + 1):
    begin = time.process_time()
    for index in range(images):
        split.load(index)
    print(images / (time.process_time() - begin))
"""


def reading(images: int, rounds: int, sources: Sequence[Path]) -> list[float]:
    """Samples per second of processor time, read from the cache by one process with labels decoded, by source.

    The sources take five turns, each in a process that leaves its first round out; the median over all turns is given.
    """
    rates: dict[Path, list[float]] = {source: [] for source in sources}
    for _ in range(5):
        for source in sources:
            command = [sys.executable, "-c", READING, str(images), str(rounds)]
            environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            rates[source] += [float(line) for line in done.stdout.split()[1:]]
    return [statistics.median(rates[source]) for source in sources]


def table(images: int, epochs: int, workers: Iterable[int], against: Path | None) -> str:
    """Markdown table of all settings."""
    sources = [Path(frugalmtl.__file__).parents[1], *([against] if against else [])]
    rate_here, *others = reading(images, epochs, sources)
    compared = "".join(f"; the version before in the same run: {other:.0f}/s" for other in others)
    dataset = Rooms(size="small", train=images)
    dataset.prepare(["train"])
    split = dataset.split("train")
    counts = list(workers)
    lines = [
        "# Data loading",
        "",
        f"Pictures of rooms, `small` (128 x 128, seven tasks), {images} images, batches of 16, warm cache, "
        f"median of {epochs} epochs, "
        f"images/s. {os.cpu_count()} cores ({platform.machine()}), one thread per process, torch {torch.__version__}. "
        "Made by `benchmarks/data_loading.py`.",
        "",
        f"Reading samples from the cache alone, one process: {rate_here:.0f}/s of processor time{compared}.",
        "",
        "| augmentation | " + " | ".join(f"{count} workers" for count in counts) + " |",
        "| --- |" + " ---: |" * len(counts),
    ]
    for name, augmentation in SETTINGS.items():
        transform = Transform(dataset.tasks, dataset.pixels, augmentation)
        figures = []
        for count in counts:
            loader = Loader(split, transform, batch_size=16, workers=count, evaluation=augmentation is None)
            figures.append(f"{rate(loader, epochs):.0f}")
        lines.append(f"| {name} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="file to write (default: print)")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--against", type=Path, default=None, help="src folder of another version, to compare reading")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = table(arguments.images, arguments.epochs, arguments.workers, arguments.against)
    if arguments.out is None:
        print(text)
    else:
        write_text(arguments.out, text)


if __name__ == "__main__":
    main()
