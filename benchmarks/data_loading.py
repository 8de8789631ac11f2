"""How many images per second the loader gives: rooms "small", warm cache, by number of worker processes.

python benchmarks/data_loading.py --out benchmarks/data_loading.md
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import torch

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


def reading(dataset: Rooms, rounds: int) -> float:
    """Median samples per second read from the cache, labels decoded, one process."""
    split = dataset.split("train")
    rates = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        for index in range(len(split)):
            split.load(index)
        rates.append(len(split) / (time.perf_counter() - begin))
    return statistics.median(rates[1:])


def table(images: int, epochs: int, workers: Iterable[int]) -> str:
    """Markdown table of all settings."""
    dataset = Rooms(size="small", train=images)
    dataset.prepare(["train"])
    split = dataset.split("train")
    counts = list(workers)
    lines = [
        "# Data loading",
        "",
        f"Rooms `small` (128 x 128, seven tasks), {images} images, batches of 16, warm cache, "
        f"median of {epochs} epochs, "
        f"images/s. {os.cpu_count()} cores ({platform.machine()}), one thread per process, torch {torch.__version__}. "
        "Made by `benchmarks/data_loading.py`.",
        "",
        f"Reading samples from the cache alone, one process: {reading(dataset, epochs):.0f}/s.",
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
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = table(arguments.images, arguments.epochs, arguments.workers)
    if arguments.out is None:
        print(text)
    else:
        write_text(arguments.out, text)


if __name__ == "__main__":
    main()
