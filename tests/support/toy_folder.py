"""A small folder dataset of coloured rectangles with exact labels, its declaration, and a config of seconds.

Ids are ``im00``, ``im01``, ...; the labels of ``seg``, ``depth`` (16-bit millimetres), ``normals`` (8 bits), ``edges``
and ``sal`` (0 and 255) lie in folders of those names, the images in ``image``. Tests do their damage afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

Arrays = dict[str, npt.NDArray[Any]]

TASKS: dict[str, dict[str, Any]] = {
    "seg": {"kind": "segmentation", "classes": ["back", "box", "lid"], "files": "seg/{id}.png"},
    "depth": {"kind": "depth", "files": "depth/{id}.png", "encoding": {"name": "scaled", "scale": 0.001}},
    "normals": {"kind": "normals", "files": "normals/{id}.png", "encoding": "vectors"},
    "edges": {"kind": "edges", "files": "edges/{id}.png", "encoding": "binary"},
    "sal": {"kind": "saliency", "files": "sal/{id}.png", "encoding": "binary"},
}
"""The tasks as the dataset file declares them."""

FOLDERS = ("image", *TASKS)


def scene(seed: int, size: tuple[int, int] = (32, 32), classes: int = 3) -> Arrays:
    """The image ``[H, W, 3]`` uint8 and the exact labels of one picture: class k > 0 is a rectangle.

    ``seg`` [H, W] uint8; ``depth`` [H, W] float32 in metres; ``normals`` [H, W, 3] float32 of unit length; ``edges``
    and ``sal`` [H, W] uint8 of 0 and 1.
    """
    source = np.random.default_rng(seed)
    height, width = size
    seg = np.zeros(size, np.uint8)
    depth = np.full(size, 4.0, np.float32)
    normals = np.tile(np.array([0.0, 0.0, 1.0], np.float32), (height, width, 1))
    for index in range(1, classes):
        top, left = source.integers(0, height // 2), source.integers(0, width // 2)
        rows = slice(top, top + source.integers(height // 4, height // 2))
        columns = slice(left, left + source.integers(width // 4, width // 2))
        seg[rows, columns], depth[rows, columns] = index, 1 + 0.5 * index
        normals[rows, columns] = (0.6, 0.0, 0.8) if index % 2 else (0.0, 0.6, 0.8)
    colours = (
        source.integers(40, 216, (classes, 3))
        if classes > 3
        else np.array([[0, 40, 250], [90, 190, 190], [180, 85, 130]])
    )
    image = np.clip(colours[seg] + source.normal(0, 12, (*size, 3)), 0, 255).astype(np.uint8)
    edges = np.zeros(size, np.uint8)
    edges[:, 1:] |= seg[:, 1:] != seg[:, :-1]
    edges[1:] |= seg[1:] != seg[:-1]
    return {
        "image": image,
        "seg": seg,
        "depth": depth,
        "normals": normals,
        "edges": edges,
        "sal": (seg > 0) * np.uint8(1),
    }


def stored(kind: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The pixels of the PNG file of one kind."""
    if kind == "depth":
        return np.rint(values * 1000).astype(np.uint16)
    if kind == "normals":
        return np.rint((values + 1) * 127.5).astype(np.uint8)
    return values * np.uint8(255) if kind in ("edges", "sal") else values


def save(path: Path, values: npt.NDArray[Any]) -> None:
    """Write pixels as an image, or an array where the name ends with ``.npy``; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)


def write_folder(
    root: Path, count: int = 8, size: tuple[int, int] = (32, 32), classes: int = 3, folders: Sequence[str] = FOLDERS
) -> list[str]:
    """Write images, labels and the lists ``train.txt`` (three quarters) and ``val.txt``; returns the ids."""
    ids = [f"im{index:02d}" for index in range(count)]
    for index, name in enumerate(ids):
        arrays = scene(index, size, classes)
        for folder in folders:
            save(root / folder / f"{name}.png", stored(folder, arrays[folder]))
    cut = max(1, count * 3 // 4)
    (root / "train.txt").write_text("".join(f"{name}\n" for name in ids[:cut]))
    (root / "val.txt").write_text("".join(f"{name}\n" for name in ids[cut:]))
    return ids


def dataset_file(
    root: Path, tasks: Sequence[str] | Mapping[str, Mapping[str, Any]] = ("seg", "depth"), **keys: Any
) -> Path:
    """Write ``dataset.yaml`` beside the data: tasks by their names here, or as whole sections; ``keys`` replace."""
    sections = dict(tasks) if isinstance(tasks, Mapping) else {name: TASKS[name] for name in tasks}
    content = {
        "root": ".",
        "images": "image/{id}.png",
        "tasks": sections,
        "splits": {"train": "train.txt", "val": "val.txt"},
        **keys,
    }
    file = root / "dataset.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


def experiment_file(root: Path, file: Path | None = None, **keys: Any) -> Path:
    """Write ``experiment.yaml``, a training of seconds on the dataset file; ``keys`` replace or add sections."""
    content = {
        "name": "toy",
        "data": {"name": "folder", "file": str(file or root / "dataset.yaml")},
        "test_split": "val",
        "image_size": [32, 32],
        "backbone": {"name": "cifar_resnet", "depth": 8},
        "decoder": {"name": "independent", "head": {"name": "linear"}},
        "train": {
            "epochs": 1,
            "batch_size": 2,
            "progress": "plain",
            "optimizer": {"name": "adam", "lr": 0.001},
        },
        **keys,
    }
    path = root / "experiment.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
