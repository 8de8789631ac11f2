"""Decoding: raw predictions -> values in the units of labels, as steps that files state and other runtimes follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional as F

from frugalmtl.core.checks import known
from frugalmtl.layers.vectors import unit_vectors

Result = Literal["class index", "metres", "probability", "unit vector"]


@dataclass(frozen=True)
class Step:
    """One operation on a batch of predictions ``[B, C, ...]``.

    Attributes:
        name: ``argmax`` over the channels, which removes that axis; ``sigmoid``, ``exp``, ``softplus``
            (``log(1 + exp(x))``); ``clip`` to the bounds; ``unit_vectors``: to unit L2 length over the channels.
        low: least value of ``clip``; None for no bound.
        high: greatest value of ``clip``; None for no bound.

    Raises:
        UserError: there is no such operation.
    """

    name: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        known("step of a decoding:", self.name, _OPERATIONS)

    def __call__(self, values: Tensor) -> Tensor:
        """Apply it."""
        return _OPERATIONS[self.name](self, values)

    def record(self) -> dict[str, Any]:
        """The step as plain values."""
        bounds = {"low": self.low, "high": self.high}
        return {"step": self.name, **{key: value for key, value in bounds.items() if value is not None}}


_OPERATIONS: dict[str, Callable[[Step, Tensor], Tensor]] = {
    "argmax": lambda _, values: values.argmax(dim=1),
    "sigmoid": lambda _, values: values.sigmoid(),
    "exp": lambda _, values: values.exp(),
    "softplus": lambda _, values: F.softplus(values),
    "clip": lambda step, values: values.clamp(step.low, step.high),
    "unit_vectors": lambda _, values: unit_vectors(values, dim=1),
}


@dataclass(frozen=True)
class Decoding:
    """Steps in float32 from a raw prediction to one in the unit of the label.

    The one place that says how a kind of task is decoded: metrics and pictures, ``predict``, files that decode, and the
    description of files that do not, all read it.

    >>> import torch
    >>> Decoding((Step("sigmoid"),), "probability")(torch.zeros(1, 1, 1, 1)).item()
    0.5

    Attributes:
        steps: in order.
        gives: what comes out: an index of a class, metres, a probability, or vectors of unit length.
    """

    steps: tuple[Step, ...]
    gives: Result

    def __call__(self, raw: Tensor) -> Tensor:
        """Raw predictions ``[B, C, ...]`` -> decoded ones, ``[B, ...]`` where they are indices of classes."""
        values = raw.float()
        for step in self.steps:
            values = step(values)
        return values

    def record(self) -> list[dict[str, Any]]:
        """The steps as plain values, for files."""
        return [step.record() for step in self.steps]


CLASS_INDEX = Decoding((Step("argmax"),), "class index")
"""Logits -> the most likely class."""
PROBABILITY = Decoding((Step("sigmoid"),), "probability")
"""Logits -> probabilities."""
