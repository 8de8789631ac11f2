"""Tensors of a module as bytes: each stored once, whatever the number of its names."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import parse_json

SHARED = "shared"
"""Key of the file's metadata: a JSON object ``{further name: name under which the tensor is stored}``."""


def tensor_bytes(module: nn.Module) -> bytes:
    """Parameters and buffers in the format of safetensors.

    A tensor that the module holds under several names is stored under the first of them; the metadata list the others.
    """
    first_names: dict[tuple[object, ...], str] = {}
    stored: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and place in first_names:
            shared[name] = first_names[place]
            continue
        first_names[place] = name
        # Copies: the format wants contiguous tensors and refuses two that overlap in memory.
        stored[name] = tensor.detach().to("cpu", copy=True).contiguous()
    metadata = {"format": "pt"} | ({SHARED: json.dumps(shared)} if shared else {})
    return save_tensors(stored, metadata=metadata)


def parse_tensors(path: Path, data: bytes) -> dict[str, Tensor]:
    """The tensors of a file by all their names.

    Args:
        path: of the file, for messages.
        data: its content.

    Raises:
        UserError: the file is damaged.
    """
    try:
        tensors = load_tensors(data)
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        shared = parse_json(header.get("__metadata__", {}).get(SHARED, "{}"))
        return tensors | {name: tensors[first] for name, first in shared.items()}
    except (SafetensorError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}") from None
