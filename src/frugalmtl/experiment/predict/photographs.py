"""Photographs in, pictures of every task's prediction out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError
from torch import Tensor

from frugalmtl.core.checks import UserError, known
from frugalmtl.core.files import atomic_write
from frugalmtl.tasks import Task
from frugalmtl.tasks.base import Image

SAMPLES = ("astronaut", "chelsea", "coffee", "motorcycle")
"""Photographs that scikit-image ships: ``skimage:coffee``."""
OVERLAY = 0.55
"""Share of the prediction's colour in an overlay."""


def read_photo(source: str | Path) -> tuple[str, Image]:
    """A photograph's name and its RGB pixels ``[H, W, 3]`` (turned upright as its EXIF says).

    Raises:
        UserError: no such file, not an image, cut off, or no such sample.
    """
    text = str(source)
    if text.startswith("skimage:"):
        return text.split(":", 1)[1], _sample(text.split(":", 1)[1])
    path = Path(source)
    try:
        with Pillow.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
            return path.stem, np.asarray(picture, dtype=np.uint8)
    except FileNotFoundError:
        raise UserError(f"photograph {path} does not exist: check the path") from None
    except (UnidentifiedImageError, OSError, Pillow.DecompressionBombError, SyntaxError) as error:
        raise UserError(f"photograph {path} cannot be read ({error}): expected a whole PNG or JPEG file") from None


def distinct(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that were there before, so that no picture overwrites another.

    >>> distinct(["coffee", "cat", "coffee"])
    ['coffee', 'cat', 'coffee-2']
    """
    made: list[str] = []
    for name in names:
        candidates = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        made.append(
            next(
                candidate
                for candidate in candidates
                if candidate not in made and (candidate == name or candidate not in names)
            )
        )
    return made


def _sample(name: str) -> Image:
    from skimage import data

    known("photograph of scikit-image:", name, SAMPLES)
    # The motorcycle is a stereo pair; its left view is the photograph.
    load = getattr(data, "stereo_motorcycle" if name == "motorcycle" else name)
    loaded = load()[0] if name == "motorcycle" else load()
    return np.ascontiguousarray(loaded[..., :3], dtype=np.uint8)


def shrink(photo: Image, longest: int) -> Image:
    """The photograph with its longer side at most ``longest`` pixels."""
    height, width = photo.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return photo
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Pillow.fromarray(photo).resize(size, Pillow.Resampling.LANCZOS), dtype=np.uint8)


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
    """One PNG that says what the colours of the pictures mean; nothing to say, no file."""
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


def save_predictions(
    photo: Image, decoded: dict[str, Tensor], tasks: Sequence[Task], folder: Path, name: str
) -> list[Path]:
    """One overlay per dense task and, side by side, all of them; tasks without a map go into a text file."""
    written: list[Path] = []
    pictures = [photo]
    words: list[str] = []
    for task in tasks:
        if task.name not in decoded:
            continue
        if task.dense:
            pictures.append(overlay(photo, task, decoded[task.name]))
            written.append(save_picture(pictures[-1], folder / f"{name}-{task.name}.png"))
        else:
            words.append(f"{task.name}: {', '.join(task.describe(decoded[task.name])) or '(none)'}")
    written.append(save_picture(np.concatenate(pictures, axis=1), folder / f"{name}-all.png"))
    if words:
        with atomic_write(folder / f"{name}.txt") as temporary:
            temporary.write_text("\n".join(words) + "\n", encoding="utf-8")
        written.append(folder / f"{name}.txt")
    return written
