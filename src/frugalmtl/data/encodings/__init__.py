"""Encodings: stored numbers or colours of a label file -> the label in the task's own values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.registry import Registry, Spec
from frugalmtl.data.encodings.base import Encoding
from frugalmtl.data.files.decoding import Exif
from frugalmtl.data.files.stored import read_stored
from frugalmtl.tasks import Task

ENCODINGS = Registry("frugalmtl.data.encodings", "encoding")

__all__ = ["ENCODINGS", "Encoding", "encoding", "read_label"]


def encoding(section: Mapping[str, Any] | str | None, task: Task, pattern: str) -> Encoding:
    """The encoding of a task's files: as stated, or where only one makes sense, that one.

    Args:
        section: the key ``encoding`` of the task; None if there is none.
        task: the task.
        pattern: pattern of the files.

    Raises:
        UserError: unknown name or argument, or one that does not suit the task.
    """
    if section is None:
        if task.label_type == "classes":
            section = "index"
        elif Path(pattern).suffix.lower() == ".npy":
            section = "values"
        else:
            suitable = ", ".join(name for name in ENCODINGS.names() if task.label_type in _types(name))
            raise UserError(f"task {task.name!r} needs an 'encoding' ({suitable}): {pattern} could mean any")
    try:
        name = Spec.of("encoding", section).name
        chosen: Encoding = ENCODINGS.build(section)
        if task.label_type not in _types(name):
            suitable = " or ".join(repr(name) for name in ENCODINGS.names() if task.label_type in _types(name))
            kind = "maps of classes" if task.label_type == "classes" else "maps of numbers"
            raise UserError(f"cannot be {name!r}: {kind} are read by {suitable}")
        chosen.check(task)
    except UserError as error:
        raise UserError(f"encoding of task {task.name!r}: {error}") from None
    return chosen


def _types(name: str) -> tuple[str, ...]:
    kinds: tuple[str, ...] = getattr(ENCODINGS.get(name), "label_types", ())
    return kinds


def read_label(file: Path, task: Task, encoding: Encoding, exif: Exif = "apply") -> Tensor:
    """The label of one file: ``[H, W]`` long, or ``[C, H, W]`` float.

    Where there is no label stands the task's ``ignore``; NaN, or a value that the task takes for none (depth 0).

    Args:
        file: the file.
        task: task of the label.
        encoding: meaning of the stored values.
        exif: as for the images.

    Raises:
        BadFileError: missing, unreadable, or not what the encoding expects.
    """
    return encoding.decode(read_stored(file, exif), task)
