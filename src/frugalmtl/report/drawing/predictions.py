"""Predictions drawn over photographs, and the legend of their colours, as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from torch import Tensor

from frugalmtl.core.files import atomic_write
from frugalmtl.tasks import Task
from frugalmtl.tasks.base import Image

OVERLAY = 0.55
"""Share of the prediction's colour in an overlay."""


def save_predictions(
    photo: Image, decoded: Mapping[str, Tensor], tasks: Sequence[Task], folder: Path, name: str
) -> list[Path]:
    """One overlay per dense task and, side by side, all of them; tasks without a map go into a text file."""
    written: list[Path] = []
    pictures = [photo]
    lines: list[str] = []
    for task in tasks:
        if task.name not in decoded:
            continue
        if task.dense:
            pictures.append(overlay(photo, task, decoded[task.name]))
            written.append(save_picture(pictures[-1], folder / f"{name}-{task.name}.png"))
        else:
            lines.append(f"{task.name}: {', '.join(task.describe(decoded[task.name])) or '(none)'}")
    written.append(save_picture(np.concatenate(pictures, axis=1), folder / f"{name}-all.png"))
    if lines:
        with atomic_write(folder / f"{name}.txt") as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(folder / f"{name}.txt")
    return written


def overlay(photo: Image, task: Task, decoded: Tensor) -> Image:
    """The drawn prediction over the photograph, class maps blended, others as they are."""
    drawn = task.draw(decoded)
    if task.label_type != "classes":
        return drawn
    return (photo * (1 - OVERLAY) + drawn * OVERLAY).astype(np.uint8)


def save_picture(picture: Image, path: Path) -> Path:
    """Write a PNG atomically."""
    with atomic_write(path) as temporary:
        Pillow.fromarray(picture).save(temporary, format="PNG")
    return path


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
