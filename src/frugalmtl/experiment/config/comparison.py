"""The typed config of a comparison, and the experiments of its rows."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from frugalmtl.core.budget import Runtime
from frugalmtl.core.checks import UserError, known, not_negative, shown
from frugalmtl.core.documents.dotted import leaf
from frugalmtl.core.names import path_part
from frugalmtl.core.schema.json_schema import Keys
from frugalmtl.core.terminal import visible
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import as_plain, parse
from frugalmtl.experiment.config.points import KEY, check_points, point_of
from frugalmtl.experiment.config.published import Published

ROW_TEXTS = ("title", "curve")
"""Texts of a comparison's row for the report."""
ROW_KEYS = (*ROW_TEXTS, "shown", KEY)
"""Keys of a comparison's row that are no keys of an experiment."""
_SET_BY_ALL = {"name": "call the row so, or set its 'title'", "seed": "list 'seeds' of the comparison"}
AT = "@"
"""Stands between a row and its operating point in the name of a row of results; no row's name holds it."""
Base = Annotated[dict[str, Any], Keys(Experiment)]
_MORE = {**dict.fromkeys(ROW_TEXTS, str | float), "shown": bool, KEY: list[str]}
Changes = Annotated[dict[str, Any], Keys(Experiment, _MORE)]


@dataclass
class Comparison:
    """Several experiments that differ in a few keys, over the same seeds, against one reference.

    Attributes:
        base: what all rows have in common (keys of an experiment).
        rows: ``{row name: {key: value that differs}}`` in the order of the table. A section with another ``name``
            replaces the base's section; other mappings are merged. Four extra keys are for the report: ``title`` is
            the row's title; rows with the same ``curve`` are operating points of one method, joined by a line of that
            name; a row with ``shown: false`` is trained only where another row starts from it, and not reported; a row
            with ``points: [0.2x, 0.3x]`` is trained once and reported as several rows ``NAME@0.2x``, one per budget,
            which its encoder must have been calibrated for (``encoder: {points: [...]}``).
        reference: the row that Delta_MTL is taken against.
        seeds: one training per row and seed.
        name: name of the comparison.
        photos: photographs without labels to predict with the best deployed model: paths, or ``skimage:coffee``.
        panels: how many test images are shown in the report.
        published: published rows shown beside the measured ones.
        latency_rounds: interleaved rounds of the latency measurement.
        runtimes: who runs deployed models when they are timed: ``eager`` PyTorch, and their ONNX files in
            ``onnxruntime`` as well where it is named (networks that choose for each image what they run have none).
        step_rounds: interleaved rounds in which a training step of every row is timed (its memory is measured too); 0
            leaves it out.
        colour_by: dotted key of an experiment, e.g. ``encoder.tau.depth``: the report colours the points of all rows
            that set it by its value.
    """

    base: Base
    rows: dict[str, Changes | None]
    reference: str
    seeds: list[int] = field(default_factory=lambda: [0])
    name: str = "comparison"
    photos: list[str] = field(default_factory=list)
    panels: int = 6
    published: list[Published] = field(default_factory=list)
    latency_rounds: int = 20
    runtimes: list[Runtime] = field(default_factory=lambda: ["eager"])
    step_rounds: int = 0
    colour_by: str | None = None

    def __post_init__(self) -> None:
        path_part("name", self.name)
        not_negative("panels", self.panels)
        for row, changes in self.rows.items():
            for key, instead in _SET_BY_ALL.items():
                if key in (changes or {}):
                    raise UserError(f"row {row!r} sets {key!r}, which a comparison gives to its rows: {instead}")
            if not re.fullmatch(r"[\w-]+", path_part("row", row)):
                raise UserError(
                    f"row {row!r} becomes a folder: take letters, digits, '_' and '-' (any text can be its 'title')"
                )


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes``: mappings merge, except that a section with another ``name`` replaces the old one."""
    merged = copy.deepcopy(dict(base))
    for key, value in changes.items():
        old = merged.get(key)
        if (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and value.get("name", old.get("name")) == old.get("name")
        ):
            merged[key] = merge(old, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def row_text(comparison: Comparison, row: str, key: str, default: str) -> str:
    """One of the texts that a comparison's row has beside its experiment.

    Args:
        comparison: the rows.
        row: a row, or one of its operating points (``NAME@0.2x``): its title says the point, and points of one training
            have a curve whatever the config says.
        key: ``title`` or ``curve``.
        default: where the row has no such text.

    Raises:
        UserError: it is neither a text nor a number.
    """
    name, _, point = row.partition(AT)
    texts = comparison.rows[name] or {}
    if point and key == "curve":
        default = texts.get("title", name)
    value = texts.get(key, default)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{key!r} of row {name!r} must be a text, but got {value!r}")
    return visible(f"{value} {point}" if point and key == "title" and key in texts else value)


def shown_rows(comparison: Comparison) -> list[str]:
    """The rows that are reported; the others are trained only where one of these starts from them."""
    return [row for row, changes in comparison.rows.items() if (changes or {}).get("shown", True)]


def row_points(comparison: Comparison, experiments: Mapping[str, Experiment]) -> dict[str, list[str | None]]:
    """The operating points at which each row that is reported is evaluated; None for the model as it was trained.

    Args:
        comparison: the rows.
        experiments: of its rows, for any seed.

    Raises:
        UserError: a row lists what is no operating point of its encoder, the same twice, or none.
    """
    reported: dict[str, list[str | None]] = {}
    for row, changes in comparison.rows.items():
        listed = (changes or {}).get(KEY)
        points: list[str | None] = [None]
        if listed is not None:
            points = [_point(row, experiments[row], text) for text in check_points(f"{KEY!r} of row {row!r}", listed)]
            if not points:
                raise UserError(f"{KEY!r} of row {row!r} is empty: list at least one budget, or leave the key out")
            if row == comparison.reference:
                raise UserError(f"row {row!r} is the reference, which has one result: leave out its {KEY!r}")
            if row not in shown_rows(comparison):
                raise UserError(f"row {row!r} is not shown, so its {KEY!r} are not reported: leave out one of the keys")
        if row in shown_rows(comparison):
            reported[row] = points
    return reported


def result_name(row: str, point: str | None) -> str:
    """What a row of results is called: the trained row, and behind ``@`` the operating point if it is one."""
    return row if point is None else f"{row}{AT}{point}"


def trained_row(name: str) -> str:
    """The row that was trained for a row of results."""
    return name.partition(AT)[0]


def one_per_training(names: Iterable[str]) -> list[str]:
    """Of rows of results, the first one of each training."""
    firsts: dict[str, str] = {}
    for name in names:
        firsts.setdefault(trained_row(name), name)
    return list(firsts.values())


def _point(row: str, experiment: Experiment, text: str) -> str:
    try:
        return point_of(experiment.encoder, text)
    except UserError as error:
        raise UserError(f"{KEY!r} of row {row!r}: {error}") from None


def row_experiments(comparison: Comparison, seed: int) -> dict[str, Experiment]:
    """The experiment of every row for one seed, checked.

    Raises:
        UserError: a row or the reference does not fit.
    """
    if not comparison.rows:
        raise UserError("a comparison needs at least one row: add it under 'rows'")
    known("row as reference:", comparison.reference, comparison.rows)
    experiments: dict[str, Experiment] = {}
    for name, changes in comparison.rows.items():
        for key in ROW_TEXTS:
            row_text(comparison, name, key, "")
        if not isinstance((changes or {}).get("shown", True), bool):
            raise UserError(f"'shown' of row {name!r} must be true or false, but got {shown((changes or {})['shown'])}")
        content = merge(comparison.base, {key: value for key, value in (changes or {}).items() if key not in ROW_KEYS})
        content.update(name=name, seed=seed)
        experiment = parse(Experiment, content, f"row {name!r}")
        _check_start(comparison, name, experiment, experiments)
        experiments[name] = experiment
    row_points(comparison, experiments)
    return experiments


def _check_start(comparison: Comparison, name: str, experiment: Experiment, earlier: Mapping[str, Experiment]) -> None:
    """Check that a row that starts from another row comes after it, and that the seed is one of its runs."""
    start = experiment.start
    if start is None or start.run not in comparison.rows:
        return
    known(f"earlier row as init_from of {name!r}:", start.run, earlier)
    if start.seed is not None and start.seed not in comparison.seeds:
        raise UserError(
            f"init_from of row {name!r} takes the run of seed {start.seed}, but seeds are "
            f"{', '.join(map(str, comparison.seeds))}: take one of them"
        )


def check_shown(comparison: Comparison, experiments: Mapping[str, Experiment]) -> None:
    """Check that the reference is reported, and that every row that is not serves one that is.

    Raises:
        UserError: one of them is not so.
    """
    reported = shown_rows(comparison)
    if comparison.reference not in reported:
        raise UserError(f"row {comparison.reference!r} is the reference, so it must be shown: leave out 'shown'")
    needed = set(reported)
    for name, experiment in reversed(list(experiments.items())):
        if name in needed and experiment.start is not None:
            needed.add(experiment.start.run)
    for name in experiments:
        if name not in needed:
            raise UserError(
                f"row {name!r} is not shown, and no row that is shown starts from it: leave out 'shown', or the row"
            )


def check_colours(comparison: Comparison, experiments: Mapping[str, Experiment]) -> None:
    """Check that some row that is reported sets the key that points are coloured by.

    Raises:
        UserError: none does.
    """
    key = comparison.colour_by
    if key is not None and all(leaf(as_plain(experiments[row]), key) is None for row in shown_rows(comparison)):
        raise UserError(f"no row has a value under the key {key!r} of 'colour_by': name one that differs between rows")
