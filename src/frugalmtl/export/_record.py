"""The record of what an exported network takes and gives: stored inside files, and beside them as ``model.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from frugalmtl.data.files import Exif
from frugalmtl.data.geometry import Fit
from frugalmtl.tasks import Task
from frugalmtl.tasks._drawing import depth_colours

Colour = tuple[float, float, float]
KEY = "frugalmtl.model"
"""Name under which files hold the record as JSON: in ONNX's ``metadata_props``, in the header of safetensors files, and
as an extra file of ``torch.export`` programs."""
CHANNELS_FIRST, CHANNELS_LAST = "NCHW", "NHWC"
_RESULTS = {
    "class index": "index of the most likely class",
    "metres": "metres",
    "probability": "probability in [0, 1]",
    "unit vector": "vector of length 1: x right, y up, z towards the camera",
}


@dataclass(frozen=True)
class ModelFacts:
    """What a program elsewhere has to know of a network.

    Attributes:
        tasks: all that it may predict.
        mean: mean of the colour channels that images are normalised with, RGB in [0, 1].
        std: their standard deviation.
        size_divisor: image height and width are multiples of it.
        fit: how images of another size are brought to the network's.
        fill: colour around images that are padded, RGB in [0, 1].
        exif: whether images are turned as their EXIF says.
        decoded: the file takes bytes and gives decoded predictions.
    """

    tasks: tuple[Task, ...]
    mean: Colour
    std: Colour
    size_divisor: int = 1
    fit: Fit = "resize"
    fill: Colour = (0.0, 0.0, 0.0)
    exif: Exif = "apply"
    decoded: bool = False

    @property
    def layout(self) -> str:
        """Order of the axes of the file's input."""
        return CHANNELS_LAST if self.decoded else CHANNELS_FIRST

    def chosen(self, names: Sequence[str]) -> tuple[Task, ...]:
        """The tasks of these names, in their order."""
        by_name = {task.name: task for task in self.tasks}
        return tuple(by_name[name] for name in names)


def model_record(
    facts: ModelFacts, file: str, names: Sequence[str], size: tuple[int, int], dynamic: str, batch: int | None
) -> dict[str, Any]:
    """The record as plain values.

    Args:
        facts: of the network.
        file: name of the file.
        names: its outputs.
        size: height and width that the network was exported at.
        dynamic: axes that the file takes at any length, out of ``"NHW"``.
        batch: number of images that it takes; None for any.
    """
    lengths: dict[str, Any] = {"N": batch or "N", "C": 3, "H": size[0], "W": size[1]}
    lengths |= {axis: axis for axis in dynamic if axis != "N"}
    takes = {
        "name": "image",
        "layout": facts.layout,
        "shape": [lengths[axis] for axis in facts.layout],
        "dtype": "uint8" if facts.decoded else "float32",
        "colour_order": "RGB",
        "range": [0, 255] if facts.decoded else [0, 1],
        "mean": list(facts.mean),
        "std": list(facts.std),
        "normalisation": "inside the file" if facts.decoded else "(pixels / 255 - mean) / std, before the file",
        "size": list(size),
        "size_rule": f"multiples of {facts.size_divisor}" if "H" in dynamic else "as stated",
        "batch": batch,
        "fit": facts.fit,
        "fill": [round(value, 6) for value in facts.fill],
        "exif": facts.exif,
    }
    outputs = {
        task.name: {**_interface(task, lengths, facts.decoded), **output_record(task)} for task in facts.chosen(names)
    }
    return {"file": file, "decoded": facts.decoded, "input": takes, "outputs": outputs}


def _interface(task: Task, lengths: dict[str, Any], decoded: bool) -> dict[str, Any]:
    """Shape and number format of a file's output, and what it is."""
    indices = decoded and task.decode.gives == "class index"
    result = _RESULTS[task.decode.gives]
    return {
        "shape": [
            lengths["N"],
            *([] if indices else [task.channels]),
            *([lengths["H"], lengths["W"]] if task.dense else []),
        ],
        "dtype": index_type(task) if indices else "float32",
        "gives": result if decoded else f"raw values; after 'decode' on axis 1: {result}",
    }


def output_record(task: Task) -> dict[str, Any]:
    """What a task predicts, as plain values.

    ``map``: whether it is a map per image; ``values``: what decoded predictions are; ``decode``: the steps from raw to
    decoded ones on the axis of the channels; classes by index, with names and colours; ``reads``: how its picture is
    read.
    """
    gives = task.decode.gives
    record: dict[str, Any] = {
        "kind": task.kind,
        "map": task.dense,
        "values": gives,
        "decode": task.decode.record(),
        "reads": task.reads,
    }
    if gives == "metres":
        record |= {"unit": "m", "colours": depth_colours()}
    if task.classes:
        record["classes"] = [
            {"index": index, "name": name, "colour": task.legend.get(name, "#808080")}
            for index, name in enumerate(task.classes)
        ]
    return record


def index_type(task: Task) -> str:
    """Number format of indices of classes in files that decode."""
    return "uint8" if task.channels <= 256 else "int32"
