"""Table of layer times: milliseconds by output channels, on one machine, as a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from frugalmtl.channels.times.layers import SizedLayer
from frugalmtl.channels.times.machine import Machine
from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.documents.json_reader import read_json
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.schema import read

FORMAT = 1
"""Number of the file's format."""
REMEDY = "write it anew with 'frugalmtl times'"


@dataclass(frozen=True)
class Timing:
    """Times of one layer with some of its outputs.

    Attributes:
        layer: with all its outputs.
        widths: numbers of outputs, rising; the last is the layer's.
        milliseconds: of one pass of a batch, by width.

    Raises:
        UserError: widths that do not rise to the layer's, or times that are no positive numbers.
    """

    layer: SizedLayer
    widths: list[int]
    milliseconds: list[float]

    def __post_init__(self) -> None:
        """Check the numbers."""
        rising = all(first < second for first, second in pairwise([0, *self.widths]))
        if not rising or not self.widths or self.widths[-1] != self.layer.outputs:
            raise UserError(f"widths of {self.layer} must rise to {self.layer.outputs}, but are {self.widths}")
        if len(self.milliseconds) != len(self.widths):
            raise UserError(f"{self.layer} has {len(self.widths)} widths and {len(self.milliseconds)} times")
        for value in self.milliseconds:
            positive(f"milliseconds of {self.layer}", value)

    def at(self, width: float) -> float:
        """Milliseconds of the layer with ``width`` outputs: on the line between the measured widths beside it.

        Below the least measured width its time; a layer without outputs does not run and takes none.
        """
        return float(np.interp(width, self.widths, self.milliseconds)) if width > 0 else 0.0

    def per_channel(self) -> float:
        """Milliseconds that an output more takes: the slope of the straight line nearest to the measured times.

        0 if times fall with the width, or where one width alone was measured.
        """
        if len(self.widths) == 1:
            return 0.0
        slope = np.polyfit(np.array(self.widths, dtype=np.float64), np.array(self.milliseconds), 1)[0]
        return max(0.0, float(slope))


@dataclass(frozen=True)
class LayerTimes:
    """Times of the layers of some networks on one machine.

    Attributes:
        machine: that they were measured on.
        batch: images at a time.
        timings: of every layer.

    Raises:
        UserError: a layer twice.
    """

    machine: Machine
    batch: int
    timings: list[Timing]

    def __post_init__(self) -> None:
        """Check that no layer stands twice."""
        positive("batch", self.batch)
        if len(self._by_layer) < len(self.timings):
            raise UserError("a layer stands twice in a table of layer times")

    @cached_property
    def _by_layer(self) -> dict[SizedLayer, Timing]:
        return {timing.layer: timing for timing in self.timings}

    def of(self, layer: SizedLayer) -> Timing:
        """The times of a layer.

        Raises:
            UserError: it was not measured.
        """
        if layer not in self._by_layer:
            raise UserError(
                f"the table of layer times lacks {layer}: write one for this backbone and image size with "
                "'frugalmtl times'"
            )
        return self._by_layer[layer]

    def per_node(self, layers: Mapping[int, SizedLayer], nodes: int) -> list[float]:
        """Milliseconds that all channels of every node of a graph take, at the time that one channel more takes.

        Args:
            layers: by node, see :func:`~frugalmtl.channels.times.layers_of`; other nodes take no time.
            nodes: their number.

        Raises:
            UserError: a layer was not measured.
        """
        slopes = {index: self.of(layer).per_channel() * layer.outputs for index, layer in layers.items()}
        return [slopes.get(index, 0.0) for index in range(nodes)]

    def to_json(self) -> str:
        """The table as JSON text."""
        content = {"format": FORMAT, "machine": self.machine, "batch": self.batch, "timings": self.timings}
        return json_text(content) + "\n"

    @classmethod
    def read(cls, path: str | Path) -> LayerTimes:
        """Read what :meth:`to_json` gave, or a latency file, which holds the times of whole networks as well.

        Raises:
            UserError: no such file, or it is damaged or of another format.
        """
        content = read_json(path, "table of layer times", remedy=REMEDY)
        if content.get("format") != FORMAT:
            raise UserError(f"table of layer times {path} is not of format {FORMAT}: {REMEDY}")
        keys = {item.name for item in fields(cls)} if "networks" in content else content.keys() - {"format"}
        return read(cls, {key: content[key] for key in content if key in keys}, str(path))
