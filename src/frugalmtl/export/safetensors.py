"""Weights alone, in a file that cannot execute anything."""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import atomic_write
from frugalmtl.export.base import Exported, Plain, check_images, check_outputs, check_request

CONFIG_KEY = "frugalmtl.config"


def safetensors(
    deployed: nn.Module,
    path: str | os.PathLike[str],
    image_size: tuple[int, int],
    *,
    config: dict[str, Any] | None = None,
) -> Exported:
    """Weights of the deployed module by name, and a JSON config that says what to build around them.

    Needs the module's class to be used again (``safetensors.torch.load_model(module, path)``). Tensors that two names
    share are stored once. The file is loaded into a copy with erased weights, whose outputs must be the module's, bit
    by bit.

    Args:
        deployed: image ``[B, 3, H, W]`` -> ``{task: raw prediction}``.
        path: file ending with ``.safetensors``.
        image_size: height and width that the check runs on.
        config: anything that JSON can hold; see :func:`read_config`.

    Raises:
        UserError: sparse weights, a config that JSON cannot hold, or outputs that differ.
    """
    target = check_request(path, ".safetensors", image_size)
    if any(tensor.layout is not torch.strided for tensor in (*deployed.parameters(), *deployed.buffers())):
        raise UserError(
            "safetensors holds dense weights only, but this model has sparse ones: use the format torch_export"
        )
    try:
        metadata = {"format": "pt", CONFIG_KEY: json.dumps(config or {}, sort_keys=True)}
    except TypeError as error:
        raise UserError(f"the config cannot be written as JSON: {error}") from None
    plain, again = Plain(deployed), Plain(deployed)
    for tensor in again.state_dict().values():
        tensor.zero_()
    with atomic_write(target) as temporary:
        save_model(plain.deployed, str(temporary), metadata=metadata)
        load_model(again.deployed, str(temporary))
        images = check_images(image_size, any_batch=False)
        difference = check_outputs(plain, again, images, 0.0, "the safetensors file")
        outputs = tuple(plain(images[0]))
    shape = ("N", "3", "H", "W")
    return Exported(str(target), target.stat().st_size, difference, outputs, shape)


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The config that :func:`safetensors` stored.

    Raises:
        UserError: no such file, or not one that this library wrote.
    """
    try:
        with safe_open(os.fspath(path), "pt") as file:
            config: dict[str, Any] = json.loads((file.metadata() or {})[CONFIG_KEY])
            return config
    except FileNotFoundError:
        raise UserError(f"weights {path} do not exist: check the path") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(f"{path} is not a weights file of this library: {type(error).__name__}") from None
