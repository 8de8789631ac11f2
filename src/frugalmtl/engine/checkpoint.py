"""Checkpoints: folders that are either whole or not there, and that load without executing code.

    checkpoints/
      step-00001234/   model.safetensors, balancer.safetensors (if it has state), state.pt, manifest.json
      last             name of the newest folder
      final/           model.safetensors, balancer.safetensors, state.pt (history only), manifest.json: the run is
      complete

A folder is written under a temporary name, flushed to the disk and renamed; only then does ``last`` point to it and the
older one go. Whenever the writer is killed, ``last`` names a whole folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import read_text, write_text

MODEL, BALANCER, STATE, MANIFEST, LAST, FINAL = (
    "model.safetensors",
    "balancer.safetensors",
    "state.pt",
    "manifest.json",
    "last",
    "final",
)
_STEP = re.compile(r"step-\d{8,}")


def load_weights(module: nn.Module, folder: str | os.PathLike[str], file: str = MODEL) -> None:
    """Fill a module with the weights of a checkpoint folder, all of them or none.

    Raises:
        UserError: the folder is damaged, or the weights are another model's; names the first difference.
    """
    path = Path(folder) / file
    _fill(module, _parse_tensors(path, _verified(path.parent, file)), path)


def load_matching_weights(module: nn.Module, folder: str | os.PathLike[str], file: str = MODEL) -> str:
    """Fill what a module has in common with another model's checkpoint (same name and shape); the rest stays as it is.

    Returns:
        One line that says how much was taken and what was not.

    Raises:
        UserError: the folder is damaged, or nothing fits.
    """
    path = Path(folder) / file
    given, wanted = _parse_tensors(path, _verified(path.parent, file)), module.state_dict()
    fitting = {name: tensor for name, tensor in given.items() if name in wanted and wanted[name].shape == tensor.shape}
    if not fitting:
        raise UserError(f"{path} has no weights that this model could start from: check the config of both")
    module.load_state_dict(fitting, strict=False)
    new, unused = sorted(wanted.keys() - fitting.keys()), sorted(given.keys() - fitting.keys())
    names = {"new here": new, "not used": unused}
    rest = [f"{len(found)} {words} ({found[0]}, ...)" for words, found in names.items() if found]
    return ", ".join([f"{len(fitting)} of {len(wanted)} tensors taken", *rest])


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
        name = read_text(pointer, "checkpoint pointer").strip()
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

    def write(self, name: str, model: nn.Module, balancer: nn.Module, state: dict[str, Any]) -> Path:
        """Write a checkpoint, then let ``last`` name it, then remove the older ones.

        Args:
            name: :data:`FINAL`, or made by :func:`step_name`.
            model: its parameters and buffers.
            balancer: likewise; nothing is written if it has none.
            state: tensors, numbers, strings, lists and dicts.

        Raises:
            UserError: the operating system refused to write; the previous checkpoint is untouched.
        """
        contents = {MODEL: _tensor_bytes(model), STATE: _state_bytes(state)}
        if balancer.state_dict():
            contents[BALANCER] = _tensor_bytes(balancer)
        sums = {file: {"sha256": hashlib.sha256(data).hexdigest()} for file, data in contents.items()}
        contents[MANIFEST] = json.dumps({"format": 1, "files": sums}, indent=1).encode()
        temporary: Path | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=self.folder))
            temporary.chmod(0o777 & ~_umask())
            for file, data in contents.items():
                _write_flushed(temporary / file, data)
            _flush_folder(temporary)
            shutil.rmtree(self.folder / name, ignore_errors=True)  # left by a killed writer; `last` names another
            temporary.rename(self.folder / name)
            write_text(self.folder / LAST, f"{name}\n")
            _flush_folder(self.folder)
        except OSError as error:
            raise UserError(
                f"cannot write checkpoint {self.folder / name}: {error.strerror or error}. The previous checkpoint "
                "is intact: free the space and run the same command again"
            ) from error
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
        self.clean()
        return self.folder / name


def step_name(step: int) -> str:
    """Folder name of the checkpoint after ``step`` optimiser steps."""
    return f"step-{step:08d}"


def read_state(folder: Path, keys: set[str]) -> dict[str, Any]:
    """The state of a checkpoint, on the CPU. Nothing in the file is executed.

    Raises:
        UserError: damaged, not made of plain values, or without one of ``keys``.
    """
    path = folder / STATE
    data = _verified(folder, STATE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about foreign pickles, which are refused below
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        if isinstance(error, pickle.UnpicklingError):
            raise UserError(f"{path} holds more than plain values, so it was not loaded: it is not ours") from None
        raise UserError(f"{path} is damaged: {error}") from None
    if not isinstance(state, dict) or not keys <= state.keys():
        raise UserError(f"{path} is not the state of a training: it was not written by this program")
    return state


def restore(folder: Path, model: nn.Module, balancer: nn.Module) -> None:
    """Fill model and balancer; neither changes unless both fit.

    Raises:
        UserError: damaged files, or weights of another model.
    """
    tensors = _parse_tensors(folder / MODEL, _verified(folder, MODEL))
    own = _parse_tensors(folder / BALANCER, _verified(folder, BALANCER)) if balancer.state_dict() else {}
    _compare(folder / BALANCER, balancer, own)
    _fill(model, tensors, folder / MODEL)
    _fill(balancer, own, folder / BALANCER)


def _verified(folder: Path, file: str) -> bytes:
    """The bytes of a file, if they are those that were written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
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


def _parse_tensors(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        return load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged: {error}") from None


def _compare(path: Path, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    wanted = module.state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            raise UserError(f"{path} has no {name!r}, which this model needs: it is another model's checkpoint")
        if tensors[name].shape != tensor.shape:
            found, expected = list(tensors[name].shape), list(tensor.shape)
            raise UserError(f"{path}: {name!r} has shape {found}, but this model needs {expected}: check the config")
    extra = sorted(tensors.keys() - wanted.keys())
    if extra:
        raise UserError(f"{path} has {extra[0]!r} and {len(extra) - 1} more that this model has not: check the config")


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    _compare(path, module, tensors)
    module.load_state_dict(tensors, strict=True)


def _tensor_bytes(module: nn.Module) -> bytes:
    # Copies: the format wants contiguous tensors and refuses two that share their memory.
    tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in module.state_dict().items()}
    return save_tensors(tensors, metadata={"format": "pt"})


def _state_bytes(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
