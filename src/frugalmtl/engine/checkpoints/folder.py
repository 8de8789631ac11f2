"""Checkpoint folders, which are either whole or not there, and load without executing code.

    checkpoints/
      step-00001234/   model.safetensors, balancer.safetensors (if it has state), structure.json (if the method decided
                       about its shape), state.pt, manifest.json
      last             name of the newest folder
      final/           model.safetensors, balancer.safetensors, state.pt (history only), manifest.json: the run is
      complete
      initial/         model.safetensors, manifest.json: the weights that the run began with, while a stage to come
      needs them

A folder is written under a temporary name, flushed to the disk and renamed. Only then does ``last`` point to it and the
older one go, so whenever the writer is killed, ``last`` names a whole folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.disk.flushing import flush_file, flush_folder
from frugalmtl.core.documents import parse_json
from frugalmtl.core.files import temporary_beside, write_text
from frugalmtl.engine.checkpoints.tensors import tensor_bytes

MODEL, BALANCER, STATE, STRUCTURE, MANIFEST, LAST, FINAL, INITIAL = (
    "model.safetensors",
    "balancer.safetensors",
    "state.pt",
    "structure.json",
    "manifest.json",
    "last",
    "final",
    "initial",
)
_STEP = re.compile(r"step-\d{8,}")


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are; made when the first one is written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def latest(self) -> Path | None:
        """The final checkpoint, else the newest, else None.

        Raises:
            UserError: ``last`` names no checkpoint.
        """
        if (self.folder / FINAL).is_dir():
            return self.folder / FINAL
        pointer = self.folder / LAST
        if not pointer.exists():
            return None
        try:
            name = pointer.read_bytes().decode("ascii", "backslashreplace").strip()
        except OSError as error:
            raise UserError(f"cannot read {pointer}: {error.strerror or error}") from None
        if not _STEP.fullmatch(name) or not (self.folder / name).is_dir():
            raise UserError(f"{pointer} names {name[:80]!r}, which is no checkpoint: restore it, or take a new folder")
        return self.folder / name

    def clean(self) -> None:
        """Remove what killed writers left: temporary folders, and checkpoints that ``last`` never came to name."""
        if not self.folder.is_dir():
            return
        latest = self.latest()
        for path in self.folder.iterdir():
            stale = path.is_dir() and (path.suffix == ".tmp" or _STEP.fullmatch(path.name) is not None)
            if stale and path != latest:
                shutil.rmtree(path, ignore_errors=True)
            elif path.name.startswith(f".{LAST}.") and path.suffix == ".tmp":
                path.unlink(missing_ok=True)

    def write(
        self,
        name: str,
        model: nn.Module,
        balancer: nn.Module,
        state: dict[str, Any],
        structure: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write a checkpoint, then let ``last`` name it, then remove the older ones.

        Args:
            name: :data:`FINAL`, or made by :func:`step_name`.
            model: its parameters and buffers.
            balancer: likewise; nothing is written if it has none.
            state: tensors, numbers, strings, lists and dicts.
            structure: plain values; None writes nothing.

        Raises:
            UserError: the operating system refused to write; the previous checkpoint is untouched.
        """
        contents = {MODEL: tensor_bytes(model), STATE: _state_bytes(state)}
        if balancer.state_dict():
            contents[BALANCER] = tensor_bytes(balancer)
        if structure is not None:
            contents[STRUCTURE] = json.dumps(structure, indent=1, allow_nan=False).encode()
        try:
            folder = self._write_folder(name, contents)
            write_text(self.folder / LAST, f"{name}\n")
            flush_folder(self.folder)
        except OSError as error:
            raise UserError(
                f"cannot write checkpoint {self.folder / name}: {error.strerror or error}. The previous checkpoint "
                "is intact: free the space and run the same command again"
            ) from error
        if name == FINAL:
            shutil.rmtree(self.folder / INITIAL, ignore_errors=True)
        self.clean()
        return folder

    def write_initial(self, model: nn.Module) -> None:
        """Write the weights that a run begins with, for the stages that begin with them again.

        Raises:
            UserError: the operating system refused to write.
        """
        try:
            self._write_folder(INITIAL, {MODEL: tensor_bytes(model)})
        except OSError as error:
            raise UserError(
                f"cannot write {self.folder / INITIAL}: {error.strerror or error}: free the space"
            ) from error

    def _write_folder(self, name: str, contents: Mapping[str, bytes]) -> Path:
        """Write the files of a folder, and beside them their checksums; all of it or nothing."""
        sums = {file: {"sha256": hashlib.sha256(data).hexdigest()} for file, data in contents.items()}
        manifest = json.dumps({"format": 1, "files": sums}, indent=1).encode()
        temporary: Path | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = temporary_beside(self.folder / name)
            temporary.mkdir()
            for file, data in {**contents, MANIFEST: manifest}.items():
                (temporary / file).write_bytes(data)
                flush_file(temporary / file)
            flush_folder(temporary)
            shutil.rmtree(self.folder / name, ignore_errors=True)  # left by a killed writer; `last` names another
            temporary.rename(self.folder / name)
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
        return self.folder / name


def step_name(step: int) -> str:
    """Folder name of the checkpoint after ``step`` optimiser steps."""
    return f"step-{step:08d}"


def verified(folder: Path, file: str) -> bytes:
    """The bytes of a file, if they are those that were written."""
    try:
        manifest = parse_json((folder / MANIFEST).read_bytes())
        expected = manifest["files"][file]["sha256"]
        data = (folder / file).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{folder} is not a whole checkpoint: {Path(error.filename).name} is missing") from None
    except OSError as error:
        raise UserError(f"cannot read checkpoint {folder}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{folder / MANIFEST} is damaged or does not list {file}") from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise UserError(f"{folder / file} is damaged: its checksum differs from the one when it was written")
    return data


def _state_bytes(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
