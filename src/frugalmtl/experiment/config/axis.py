"""The axis of a sweep: the keys that vary, and the values that they take."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from frugalmtl.core.checks import UserError, positive
from frugalmtl.experiment.config.comparison import Changes

Value = str | int | float | bool | None
Place = Value | tuple[Value, ...]
"""A place on the axis: the value of its key, or of a grid the values of its keys in their order."""


@dataclass
class Axis:
    """The keys that vary in a sweep, and their values.

    Attributes:
        key: dotted key of an experiment that varies, e.g. ``encoder.budget`` or ``train.optimizer.lr``.
        grid: several keys and the values of each, instead of ``key``: every combination is a point.
        row: what all points have in common: changes to ``base``, and their ``title``.
        values: the values of the key, each one point.
        low: least value, instead of ``values``; two whole numbers give whole numbers, so write ``1.0`` for others.
        high: greatest value.
        log: search on a logarithmic scale.
        trials: how many values are tried.
        seed: of the search.
        curve: name of the curve in the report (default: the title).
    """

    key: str | None = None
    row: Changes = field(default_factory=dict)
    values: list[Any] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    trials: int | None = None
    seed: int = 0
    curve: str | None = None
    grid: dict[str, list[Any]] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.row.get("title", ""), bool | list | dict | None):
            raise UserError(f"'title' in the row of 'sweep' must be a text, but got {self.row['title']!r}")
        limits = [name for name in ("low", "high", "trials") if getattr(self, name) is not None]
        limits += ["log"] if self.log else []
        if self.grid is not None:
            others = [name for name in ("key", "values") if getattr(self, name) is not None]
            if others or limits:
                raise UserError(
                    f"'sweep' takes either a 'key' or a 'grid' of keys, but got both: drop {(others or limits)[0]}"
                )
            self._check_grid(self.grid)
        elif self.key is None:
            raise UserError("sweep lacks key: add it, or a grid of several keys: grid: {key: [values], ...}")
        elif self.values is not None:
            if limits:
                raise UserError(f"'sweep' takes either 'values' or a range, but got both: drop {limits[0]}")
            _check_values("'values' of 'sweep'", self.values, "give at least one, or a range (low, high, trials)")
        else:
            self._check_range()

    @property
    def keys(self) -> list[str]:
        """The keys that vary."""
        return [self.key] if self.key is not None else list(self.grid or {})

    @property
    def words(self) -> dict[str, str]:
        """``{key: its last words}``, as few as tell the keys apart."""
        return short_keys(self.keys)

    @property
    def name(self) -> str:
        """The keys as one text."""
        return ", ".join(self.keys)

    @property
    def places(self) -> list[Place] | None:
        """The listed values or, of a grid, all combinations, the last key's values going round fastest; None for a
        range.
        """
        if self.grid is not None:
            return list(itertools.product(*self.grid.values()))
        return self.values

    @property
    def count(self) -> int:
        """How many places are tried."""
        places = self.places
        return len(places) if places is not None else int(self.trials or 0)

    @property
    def title(self) -> str:
        """What the points' titles begin with."""
        return str(self.row.get("title", self.curve or self.name))

    def limits(self) -> tuple[float, float]:
        """Least and greatest value of a range, both whole numbers if whole numbers are searched."""
        if self.low is None or self.high is None:
            raise TypeError("an axis of values has no limits")
        return self.low, self.high

    def assignments(self, place: Place) -> dict[str, Value]:
        """``{key: value}`` at a place."""
        values = place if isinstance(place, tuple) else (place,)
        return dict(zip(self.keys, values, strict=True))

    def code(self, place: Place) -> Value:
        """A place as a single value, for the records of a search."""
        return json.dumps(place) if isinstance(place, tuple) else place

    def place_of(self, code: Value) -> Place:
        """The place that :meth:`code` gave for.

        Raises:
            ValueError: no place of the axis.
        """
        places = self.places
        if places is not None:
            codes = [self.code(place) for place in places]
            if code in codes:
                return places[codes.index(code)]
        else:
            low, high = self.limits()
            if isinstance(code, int | float) and isinstance(code, type(low)) and low <= code <= high:
                return code
        raise ValueError(f"{code!r} is no value of {self.name}")

    def text(self, place: Place, first: str = "") -> str:
        """A place as titles show it: the value, or of a grid every key's last words with its value.

        Args:
            place: on the axis.
            first: the key that stands in front.
        """
        if isinstance(place, tuple):
            values = self.assignments(place)
            keys = sorted(values, key=lambda key: key != first)
            return ", ".join(f"{self.words[key]} {values[key]}" for key in keys)
        return f"{place:.6g}" if self.places is None and isinstance(place, float) else str(place)

    def _check_grid(self, grid: dict[str, list[Any]]) -> None:
        if not grid:
            raise UserError("'grid' of 'sweep' is empty: give at least one key with its values, key: [values]")
        for key, values in grid.items():
            _check_values(f"{key!r} in the 'grid' of 'sweep'", values, "give at least one value")
        for one, other in itertools.permutations(grid, 2):
            if other.startswith(f"{one}."):
                raise UserError(
                    f"'grid' of 'sweep' sets {one!r} as a whole and {other!r} in it: keep one of the two keys"
                )

    def _check_range(self) -> None:
        if self.low is None or self.high is None or self.trials is None:
            raise UserError("'sweep' needs 'values', or a range: 'low', 'high' and 'trials'")
        positive("trials of 'sweep'", self.trials)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UserError(f"'sweep' needs low below high, but got low {self.low!r} and high {self.high!r}")
        if self.log:
            positive("low of 'sweep' with log: true", self.low)
        if type(self.low) is not type(self.high):
            self.low, self.high = float(self.low), float(self.high)


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """``{key: its last words}``, as few as tell the keys apart.

    >>> short_keys(["encoder.tau.depth", "encoder.tau.normals"])
    {'encoder.tau.depth': 'depth', 'encoder.tau.normals': 'normals'}
    >>> short_keys(["encoder.tau.depth", "balancer.weights.depth"])
    {'encoder.tau.depth': 'tau.depth', 'balancer.weights.depth': 'weights.depth'}
    """
    words: dict[str, str] = {}
    for key in keys:
        parts = key.split(".")
        endings = (".".join(parts[start:]) for start in reversed(range(len(parts))))
        clear = (ending for ending in endings if sum(f".{other}".endswith(f".{ending}") for other in keys) == 1)
        words[key] = next(clear, key)
    return words


def _check_values(what: str, values: list[Any], remedy: str) -> None:
    if not values:
        raise UserError(f"{what} is empty: {remedy}")
    for index, value in enumerate(values):
        if value is not None and not isinstance(value, str | int | float):
            raise UserError(f"a value of 'sweep' must be a number, a text, true or false, but got {value!r}")
        if value in values[:index]:
            raise UserError(f"{what} holds {value!r} more than once")
