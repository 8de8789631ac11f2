"""Predictions drawn over photographs, and the legend of their colours, as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from torch import Tensor

from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.files import atomic_write, write_text
from frugalmtl.export._record import output_record
from frugalmtl.export._run_model import OVERLAY_ENDING, products, summary
from frugalmtl.tasks import Task
from frugalmtl.tasks.base import Image

Pixels = npt.NDArray[Any]


def save_predictions(
    photo: Image,
    decoded: Mapping[str, Tensor],
    tasks: Sequence[Task],
    folder: Path,
    name: str,
    saved: Sequence[str] = ("overlay",),
) -> list[Path]:
    """Write predictions of a photograph, in the formats of ``run_model.py``.

    ``overlay``: a picture per map with the key of its colours, all of them side by side, and a text file for tasks
    without a map; ``ids``: indices of classes (PNG); ``depth_mm``: millimetres (16-bit PNG, 0: none); ``npy``: decoded
    values; ``json``: classes, their shares, and statistics.

    Args:
        photo: RGB ``[H, W, 3]``.
        decoded: ``{task: decoded prediction}``, maps of its size.
        tasks: in the order of their pictures.
        folder: of the files.
        name: how the files' names begin.
        saved: the formats.
    """
    written: list[Path] = []
    pictures: list[Pixels] = [photo]
    lines: list[str] = []
    facts: dict[str, Any] = {}
    for task in tasks:
        if task.name not in decoded:
            continue
        values, output = decoded[task.name].numpy(), output_record(task)
        facts[task.name] = summary(values, output)
        if not task.dense:
            lines.append(f"{task.name}: {', '.join(task.describe(decoded[task.name])) or '(none)'}")
        for ending, array in products(photo, values, output, tuple(saved)).items():
            pictures += [array] if ending == OVERLAY_ENDING else []
            save = save_array if ending.endswith(".npy") else save_picture
            written.append(save(array, folder / f"{name}-{task.name}{ending}"))
    if "overlay" in saved:
        written.append(save_picture(_side_by_side(pictures), folder / f"{name}-all.png"))
        if lines:
            written.append(folder / f"{name}.txt")
            write_text(written[-1], "\n".join(lines) + "\n")
    if "json" in saved:
        written.append(folder / f"{name}.json")
        write_text(written[-1], json_text(facts) + "\n")
    return written


def save_picture(picture: Pixels, path: Path) -> Path:
    """Write a PNG atomically."""
    with atomic_write(path) as temporary:
        Pillow.fromarray(picture).save(temporary, format="PNG")
    return path


def save_array(values: Pixels, path: Path) -> Path:
    """Write a NumPy file atomically."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    return path


def _side_by_side(pictures: Sequence[Pixels]) -> Pixels:
    """Pictures in a row, white below the shorter ones."""
    height = max(len(picture) for picture in pictures)
    white = [np.full((height - len(picture), picture.shape[1], 3), 255, np.uint8) for picture in pictures]
    return np.concatenate([np.concatenate(pair) for pair in zip(pictures, white, strict=True)], axis=1)


def save_legend(tasks: Sequence[Task], path: Path) -> Path | None:
    """One PNG with the meaning of the pictures' colours; no file where no task has a legend."""
    lines: list[tuple[str, str | None]] = []
    for task in tasks:
        if task.legend or task.reads:
            lines.append((f"{task.name}: {task.reads}".rstrip(": "), None))
            lines.extend((name, colour) for name, colour in task.legend.items())
    if not lines:
        return None
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(5.5, 0.3 + 0.23 * len(lines)))
    patches = [Patch(facecolor=colour or "none", edgecolor="grey" if colour else "none") for _, colour in lines]
    texts = figure.legend(patches, [text for text, _ in lines], loc="upper left", frameon=False).get_texts()
    for text, (_, colour) in zip(texts, lines, strict=True):
        text.set_fontweight("normal" if colour else "bold")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight")
    return path
