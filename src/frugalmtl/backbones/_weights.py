"""Weights of a timm model from a local file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import require_stored


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` file, read without executing code in it.

    Raises:
        UserError: no such file, another kind of file, or one without named tensors.
    """
    if not path.is_file():
        raise UserError(f"weights must be 'imagenet', 'package' or a file, but {str(path)!r} does not exist")
    if path.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise UserError(f"weights must be a .safetensors or .pth file, but got {path.name!r}")
    with path.open("rb") as file:
        require_stored(file, f"weights file {str(path)!r}")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # both readers raise several kinds, each of which means that the file is unusable
        reason = (str(error).splitlines() or [type(error).__name__])[0]  # some errors have no words
        raise UserError(f"cannot read weights from {str(path)!r}: {reason}") from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = {str(key): value for key, value in content.items()} if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(f"weights file {str(path)!r} must hold tensors by name (a state dict)")
    return tensors


def fill(model: nn.Module, tensors: Mapping[str, Tensor], needed: Collection[str], source: str) -> None:
    """Copy ``tensors`` into a timm model.

    Args:
        model: filled in place.
        tensors: by the names that timm gives them; a classifier or another unused head may be among them.
        needed: names that must be there.
        source: where they come from, for messages.

    Raises:
        UserError: a needed tensor is missing or has another shape, or a tensor does not belong to this model.
    """
    expected = model.state_dict()
    missing = [name for name in needed if name not in tensors and not name.endswith("num_batches_tracked")]
    roots = {name.split(".", 1)[0] for name in needed}
    foreign = [name for name in tensors if name not in expected and name.split(".", 1)[0] in roots]
    misfits = [name for name in needed if name in tensors and tensors[name].shape != expected[name].shape]
    hint = f"weights from {source} do not fit the model:"
    for what, names in (("missing", missing), ("unknown to the model", foreign)):
        if names:
            raise UserError(f"{hint} {len(names)} tensors {what}, first {names[0]!r} (names must be timm's own)")
    if misfits:
        name = misfits[0]
        shapes = f"{tuple(tensors[name].shape)} instead of {tuple(expected[name].shape)}"
        raise UserError(f"{hint} {len(misfits)} tensors of another shape, first {name!r}: {shapes}")
    model.load_state_dict({name: tensors[name] for name in needed if name in tensors}, strict=False)
