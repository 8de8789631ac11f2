"""The config of a sweep: a comparison some of whose rows are the points of an axis."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from frugalmtl.core.checks import UserError, known, positive, shown
from frugalmtl.experiment.config.comparison import ROW_KEYS, Changes, Comparison, merge
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import as_plain, parse
from frugalmtl.experiment.config.points import KEY

Value = str | int | float | bool | None
FIXED = ("name", "seed", "published", "data", "image_size", "fit", "test_split")
"""Keys of an experiment that all rows of a comparison share, or that it sets itself."""

_NAME = 60
"""Characters of a row's name that are taken from its title."""


@dataclass
class Axis:
    """What varies along a curve, and through which values.

    Attributes:
        key: dotted key of an experiment that varies, e.g. ``encoder.budget`` or ``train.optimizer.lr``.
        row: what all points have in common: changes to ``base``, and their ``title``.
        values: the values, each one point (a grid).
        low: least value, instead of ``values``; two whole numbers give whole numbers, so write ``1.0`` for others.
        high: greatest value.
        log: search on a logarithmic scale.
        trials: how many values are tried.
        seed: of the search.
        curve: name of the curve in the report (default: the title).
    """

    key: str
    row: Changes = field(default_factory=dict)
    values: list[Any] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    trials: int | None = None
    seed: int = 0
    curve: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.row.get("title", ""), bool | list | dict | None):
            raise UserError(f"'title' in the row of 'sweep' must be a text, but got {self.row['title']!r}")
        if self.values is not None:
            limits = [name for name in ("low", "high", "trials") if getattr(self, name) is not None]
            if limits or self.log:
                raise UserError(
                    f"'sweep' takes either 'values' or a range, but got both: drop {(limits or ['log'])[0]}"
                )
            self._check_values(self.values)
        else:
            self._check_range()

    @property
    def count(self) -> int:
        """How many values are tried."""
        return len(self.values) if self.values is not None else int(self.trials or 0)

    @property
    def title(self) -> str:
        """What the points' titles begin with."""
        return str(self.row.get("title", self.curve or self.key))

    def limits(self) -> tuple[float, float]:
        """Least and greatest value of a range, both whole numbers if whole numbers are searched."""
        if self.low is None or self.high is None:
            raise TypeError("an axis of values has no limits")
        return self.low, self.high

    def holds(self, value: Value) -> bool:
        """Whether a value is one of the axis."""
        if self.values is not None:
            return value in self.values
        low, high = self.limits()
        return isinstance(value, type(low)) and low <= value <= high

    def text(self, value: Value) -> str:
        """A value as titles show it."""
        return f"{value:.6g}" if self.values is None and isinstance(value, float) else str(value)

    def _check_values(self, values: list[Any]) -> None:
        if not values:
            raise UserError("'values' of 'sweep' is empty: give at least one, or a range (low, high, trials)")
        for index, value in enumerate(values):
            if value is not None and not isinstance(value, str | int | float):
                raise UserError(f"a value of 'sweep' must be a number, a text, true or false, but got {value!r}")
            if value in values[:index]:
                raise UserError(f"'values' of 'sweep' holds {value!r} more than once")

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


@dataclass(kw_only=True)
class Sweep(Comparison):
    """A comparison some of whose rows are points of one method's accuracy/cost curve, trained in one call.

    Attributes:
        base: what all rows have in common (an :class:`~frugalmtl.experiment.config.experiment.Experiment`).
        rows: fixed rows as in a comparison, the reference among them.
        reference: the fixed row that Delta_MTL is taken against.
        seeds: one training per row, point and seed.
        name: name of the sweep.
        photos: photographs without labels to predict with the best deployed model: paths, or ``skimage:coffee``.
        panels: how many test images are shown in the report.
        published: published rows shown beside the measured ones.
        latency_rounds: interleaved rounds of the latency measurement.
        sweep: the axis: ``key`` (dotted) that varies, ``row`` (what all points have in common, with their ``title``),
            and ``values``, or a range searched for the best trade-off: ``low``, ``high``, ``trials``, and if wanted
            ``log`` and ``seed``. ``curve`` names the curve (default: the title).
    """

    sweep: Axis
    name: str = "sweep"


def points(config: Sweep, values: Sequence[Value]) -> dict[str, tuple[Value, dict[str, Any]]]:
    """``{row name: (value, changes to base)}``, in the order of the values.

    A row is called after its title and value; of two equal names the later one gets a number.

    Raises:
        UserError: the key does not fit the points' row.
    """
    axis = config.sweep
    common = _common(config, axis)
    rows: dict[str, tuple[Value, dict[str, Any]]] = {}
    for value in values:
        title = f"{axis.title} {axis.text(value)}"
        line = title if KEY in axis.row else axis.title  # operating points of each training have a curve of theirs
        texts = {"title": title, "curve": axis.curve or axis.row.get("curve", line)}
        rows[_unique(title, [*config.rows, *rows])] = (
            value,
            {**axis.row, **texts, **_changed(axis.key, common, value)},
        )
    return rows


def expand(config: Sweep, values: Sequence[Value]) -> Comparison:
    """The comparison of the fixed rows and one row per value; those of a range in the order of their values.

    Raises:
        UserError: the reference is no fixed row, or the key does not fit the points' row.
    """
    known("fixed row as reference:", config.reference, config.rows)
    varied = list(points(config, values).items())
    if config.sweep.values is None:
        varied.sort(key=lambda item: float(item[1][0] or 0))
    shared = {item.name: getattr(config, item.name) for item in fields(Comparison)}
    rows = {**config.rows, **{name: changes for name, (_, changes) in varied}}
    return Comparison(**{**shared, "rows": rows})


def _common(config: Sweep, axis: Axis) -> dict[str, Any]:
    """The experiment of the points, defaults included, before the axis changes it."""
    changes = {key: value for key, value in axis.row.items() if key not in ROW_KEYS}
    content = {**merge(config.base, changes), "name": config.name, "seed": 0}
    return as_plain(parse(Experiment, content, "row of 'sweep'"))


def _changed(key: str, common: Mapping[str, Any], value: Value) -> dict[str, Any]:
    """``{section: the whole section}`` with the value put in its place.

    Raises:
        UserError: the key leads nowhere.
    """
    section, *path = key.split(".")
    known("section in the key of 'sweep':", section, [name for name in common if name not in FIXED])
    if not path:
        return {section: value}
    changed = {section: copy.deepcopy(common[section])}
    place: Any = changed
    for step in [section, *path[:-1]]:
        place = place.get(step)
        if not isinstance(place, dict):
            raise UserError(
                f"key {key!r} of 'sweep' does not fit: {step!r} of the row is {shown(place)}, not a section"
            )
    if path[-1] == "name":
        raise UserError(f"key {key!r} of 'sweep' changes the method: make them rows of their own instead")
    place[path[-1]] = value
    return changed


def _unique(title: str, taken: Sequence[str]) -> str:
    """A row's name made from its title."""
    base = re.sub(r"\W+", "_", title.lower()).strip("_")[:_NAME] or "point"
    names = [base, *(f"{base}_{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
