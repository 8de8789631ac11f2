"""Weights alone, in a file that cannot execute anything (safetensors)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import mapping, parse_json
from frugalmtl.export._decoded import DecodedModel
from frugalmtl.export._record import KEY
from frugalmtl.export.base import Exporter, ExportInput, Forward, Plain

CONFIG_KEY = "frugalmtl.config"


class Safetensors(Exporter):
    """Weights of the deployed module by name, and as JSON the run's config and what the network takes and gives.

    Needs the module's class to be used again (``safetensors.torch.load_model(module, path)``). Tensors that two names
    share are stored once. The file is loaded into a copy with erased weights, whose outputs must be the module's, bit
    by bit. Sparse weights, and a config that JSON cannot hold, are refused.
    """

    suffix = ".safetensors"
    product = "the safetensors file"
    tolerance = 0.0
    dynamic = "NHW"

    def check_module(self, deployed: nn.Module) -> None:
        """Refuse sparse weights, and decoding."""
        if isinstance(deployed, DecodedModel):
            raise UserError(
                "a safetensors file holds weights alone, so nothing can be decoded in it: use the format onnx or "
                "torch_export"
            )
        if any(tensor.layout is not torch.strided for tensor in (*deployed.parameters(), *deployed.buffers())):
            raise UserError(
                "safetensors holds dense weights only, but this model has sparse ones: use the format torch_export"
            )

    def write(self, source: ExportInput, path: Path) -> Forward:
        """Save, and load into a copy whose weights are zero."""
        try:
            metadata = {"format": "pt", CONFIG_KEY: json.dumps(dict(source.config), sort_keys=True)}
        except TypeError as error:
            raise UserError(f"the config cannot be written as JSON: {error}") from None
        if source.record:
            metadata[KEY] = source.record
        again = Plain(source.plain.deployed)
        for tensor in again.state_dict().values():
            tensor.zero_()
        save_model(source.plain.deployed, str(path), metadata=metadata)
        load_model(again.deployed, str(path))
        return again


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The config that :class:`Safetensors` stored.

    Raises:
        UserError: no such file, or not one that this library wrote.
    """
    try:
        with safe_open(os.fspath(path), "pt") as file:
            return mapping(parse_json((file.metadata() or {})[CONFIG_KEY]), f"the config in {path}")
    except FileNotFoundError:
        raise UserError(f"weights {path} do not exist: check the path") from None
    except KeyError:
        raise UserError(f"{path} is not a weights file of this library: it holds no config") from None
    except (SafetensorError, ValueError, OSError) as error:
        raise UserError(f"{path} is not a weights file of this library: {error}") from None
