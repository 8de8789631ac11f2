"""The config of a sweep: a comparison some of whose rows are the points of an axis or a grid."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.experiment.config.axis import Axis, Place, Value
from frugalmtl.experiment.config.comparison import ROW_KEYS, Comparison, merge
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import as_plain, parse
from frugalmtl.experiment.config.points import KEY

FIXED = ("name", "seed", "published", "data", "image_size", "fit", "test_split")
"""Keys of an experiment that all rows of a comparison share, or that it sets itself."""

_NAME = 60
"""Characters of a row's name that are taken from its title."""


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
        runtimes: as of a comparison.
        colour_by: as of a comparison; of a grid by default its first key.
        sweep: the axis: ``key`` (dotted) that varies, ``row`` (what all points have in common, with their ``title``),
            and ``values``, or a range searched for the best trade-off: ``low``, ``high``, ``trials``, and if wanted
            ``log`` and ``seed``; or several keys, every combination of whose values is a point:
            ``grid: {encoder.tau.depth: [0.25, 0.75], encoder.tau.normals: [0.25, 0.75]}``. ``curve`` names the curve
            (default: the title).
    """

    sweep: Axis
    name: str = "sweep"


def points(config: Sweep, places: Sequence[Place]) -> dict[str, tuple[Place, dict[str, Any]]]:
    """``{row name: (place, changes to base)}``, in the order of the places.

    A row is called after its title and value; of two equal names the later one gets a number. In a grid, points that
    agree in the key of :func:`colour_key` are one curve, and titles begin with it; names hold the keys in the grid's
    order, and one that is too long ends in a digest, so that a run is found again whatever other points there are.

    Raises:
        UserError: a key does not fit the points' row.
    """
    axis, first = config.sweep, colour_key(config)
    common = _common(config, axis)
    rows: dict[str, tuple[Place, dict[str, Any]]] = {}
    for place in places:
        title = f"{axis.title} {axis.text(place, first)}"
        # Operating points of each training have a curve of theirs.
        texts = {"title": title, "curve": axis.curve or axis.row.get("curve", title if KEY in axis.row else axis.title)}
        name = _unique(title, [*config.rows, *rows])
        if isinstance(place, tuple):
            line = f"{axis.curve or axis.title} {axis.words[first]} {axis.assignments(place)[first]}"
            texts["curve"] = title if KEY in axis.row else line
            name = _apart(f"{axis.title} {axis.text(place)}", [*config.rows, *rows])
        rows[name] = (place, {**axis.row, **texts, **_changed(axis.assignments(place), common)})
    return rows


def colour_key(config: Sweep) -> str:
    """The key of the axis that points are grouped and coloured by: ``colour_by`` if it is one, else the first."""
    keys = config.sweep.keys
    return config.colour_by if config.colour_by in keys else keys[0]


def expand(config: Sweep, places: Sequence[Place]) -> Comparison:
    """The comparison of the fixed rows and one row per place; those of a range in the order of their values.

    Raises:
        UserError: the reference is no fixed row, or a key does not fit the points' row.
    """
    known("fixed row as reference:", config.reference, config.rows)
    varied = list(points(config, places).items())
    if config.sweep.places is None:
        varied.sort(key=lambda item: float(item[1][0] or 0))  # type: ignore[arg-type]  # numbers of a range
    shared = {item.name: getattr(config, item.name) for item in fields(Comparison)}
    if config.sweep.grid is not None:
        shared["colour_by"] = config.colour_by or colour_key(config)
    rows = {**config.rows, **{name: changes for name, (_, changes) in varied}}
    return Comparison(**{**shared, "rows": rows})


def _common(config: Sweep, axis: Axis) -> dict[str, Any]:
    """The experiment of the points, defaults included, before the axis changes it."""
    changes = {key: value for key, value in axis.row.items() if key not in ROW_KEYS}
    content = {**merge(config.base, changes), "name": config.name, "seed": 0}
    return as_plain(parse(Experiment, content, "row of 'sweep'"))


def _changed(assignments: Mapping[str, Value], common: Mapping[str, Any]) -> dict[str, Any]:
    """``{section: the whole section}`` of every section that a key lies in, with the values put in their places.

    Raises:
        UserError: a key leads nowhere.
    """
    changed: dict[str, Any] = {}
    for key, value in assignments.items():
        section, *path = key.split(".")
        known("section in the key of 'sweep':", section, [name for name in common if name not in FIXED])
        if not path:
            changed[section] = value
            continue
        place: Any = changed
        changed.setdefault(section, copy.deepcopy(common[section]))
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


def _apart(title: str, taken: Sequence[str]) -> str:
    """A row's name made from a title; one that is too long is cut, and ends in a digest of the whole."""
    name = _slug(title)
    if len(name) > _NAME:
        name = f"{name[: _NAME - 9]}_{hashlib.sha256(title.encode()).hexdigest()[:8]}"
    return _unique(name, taken)


def _unique(title: str, taken: Sequence[str]) -> str:
    """A row's name made from its title."""
    base = _slug(title)[:_NAME] or "point"
    names = [base, *(f"{base}_{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _slug(title: str) -> str:
    return re.sub(r"\W+", "_", title.lower()).strip("_")
