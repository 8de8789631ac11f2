"""A calibration kit: ONNX files of a method's networks, and the script that times them where onnxruntime is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from frugalmtl.channels.times import SizedLayer
from frugalmtl.core.checks import UserError
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.files import atomic_write, write_text
from frugalmtl.core.terminal import tracked
from frugalmtl.evaluation.cost import count
from frugalmtl.evaluation.cost.layer_times import widths_of
from frugalmtl.export._calibrate import FORMAT, KIT
from frugalmtl.export._layer_session import layer_file
from frugalmtl.export._session import require_onnxruntime
from frugalmtl.export.onnx import Onnx

SCRIPT = "calibrate.py"
MULTIPLE = 8
"""Widths that layers are timed at are multiples of this where they can be: every processor likes them."""
_TEMPLATE = Path(__file__).with_name("_calibrate.py")


@dataclass(frozen=True)
class KitNetwork:
    """A network of a kit.

    Attributes:
        words: what it is.
        deployed: image ``[B, 3, H, W]`` -> ``{task: raw prediction}``.
    """

    words: str
    deployed: nn.Module


def write_kit(
    networks: Sequence[KitNetwork],
    network: Mapping[str, Any],
    image_size: tuple[int, int],
    folder: Path,
    layers: Sequence[SizedLayer] = (),
) -> list[Path]:
    """Write the networks as ONNX files, each checked, with ``kit.json`` and ``calibrate.py``; returns the files.

    Args:
        networks: of one image size.
        network: what they have in common, as plain values.
        image_size: height and width.
        folder: new, or of an earlier kit, which is written over.
        layers: single ones that are timed as well, each at a few widths.

    Raises:
        UserError: packages are missing, the folder holds something else, or ONNX has no form of a network.
    """
    require_onnxruntime("onnx")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not (folder / KIT).is_file():
        raise UserError(f"{folder} holds something else than a calibration kit: choose another folder")
    for path in (*folder.glob("network_*.onnx"), *folder.glob("layer_*.onnx")):
        path.unlink()
    records, files = [], []
    for number, one in enumerate(tracked(networks, "writing ONNX files", shown=True)):
        path = folder / f"network_{number}.onnx"
        Onnx()(one.deployed, path, image_size)
        files.append(path)
        records.append({"file": path.name, "words": one.words, "macs": float(count(one.deployed, image_size).macs)})
    timed = [_write_layer(layer, number, folder) for number, layer in enumerate(dict.fromkeys(layers))]
    write_text(folder / SCRIPT, _TEMPLATE.read_text(encoding="utf-8"))
    kit = {"format": FORMAT, "network": network, "networks": records, "layers": timed}
    write_text(folder / KIT, json_text(kit) + "\n")
    return [*files, *(folder / file for each in timed for file in each["files"]), folder / SCRIPT, folder / KIT]


def _write_layer(layer: SizedLayer, number: int, folder: Path) -> dict[str, Any]:
    """Write a layer at its widths; its record."""
    widths, files = widths_of(layer, MULTIPLE), []
    for width in widths:
        files.append(f"layer_{number}_{width}.onnx")
        content = layer_file(layer.build(width), layer.example(width, 1))
        with atomic_write(folder / files[-1]) as path:
            path.write_bytes(content)
    return {"layer": layer, "widths": widths, "files": files}
