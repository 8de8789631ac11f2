"""The typed config of one experiment, and of a comparison of several."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import yaml
from jsonargparse import ArgumentParser

from frugalmtl.core.checks import UserError, known
from frugalmtl.core.files import read_text
from frugalmtl.engine.settings import TrainSettings

Section = dict[str, Any]
Config = TypeVar("Config")

ROW_TEXTS = ("title", "curve")
"""Keys of a comparison's row that are no keys of an experiment."""


@dataclass
class Experiment:
    """One network, one training, one seed.

    A section such as ``encoder`` is the name of a member of the room and its arguments: ``{name: cross_stitch, own:
    0.8}``;
    ``frugalmtl list encoders`` shows them.

    Attributes:
        name: name of the experiment; a run folder is called after it.
        seed: seed of the initial weights, the order of the data and the augmentation.
        data: section of the room ``data``; needed for everything but measuring cost.
        tasks: names of the dataset's tasks (default: all of them), each a name or ``{name: ..., weight: ...,
            auxiliary: ...}``. Without ``data``: task sections ``{kind: segmentation, classes: 40}``.
        image_size: height and width that the network sees (default: the dataset's own).
        augmentation: preset name or arguments of the training augmentation; ``null`` for none.
        fit: how images of another size are brought to ``image_size``: stretched (the survey's protocol), or cut and
            padded
            (ATRC's).
        fill: what corners that an augmentation uncovers count as: nothing (``"clean"``) or class 0 (``"reference"``,
            as in
            the survey's code).
        backbone: section of the room ``backbones``.
        encoder: section of the room ``encoders``.
        decoder: section of the room ``decoders``.
        balancer: section of the room ``balancing``.
        train: how long and how to optimise.
        init_from: run folder (or, in a comparison, name of an earlier row) whose weights training starts from, wherever
            name and shape agree; how many do, and how many do not, is printed.
        test_split: split that is evaluated at the end.
        evaluate_split: split that is evaluated during training.
        published: published figures that belong to this config; shown beside the measured ones.
    """

    name: str = "experiment"
    seed: int = 0
    data: dict[str, Any] | None = None
    tasks: list[dict[str, Any] | str] | None = None
    image_size: tuple[int, int] | None = None
    augmentation: dict[str, Any] | str | None = None
    fit: Literal["resize", "pad"] = "resize"
    fill: Literal["clean", "reference"] = "clean"
    backbone: dict[str, Any] = field(default_factory=lambda: {"name": "timm", "model": "resnet18"})
    encoder: dict[str, Any] = field(default_factory=lambda: {"name": "hard_sharing"})
    decoder: dict[str, Any] = field(default_factory=lambda: {"name": "independent"})
    balancer: dict[str, Any] = field(default_factory=lambda: {"name": "fixed"})
    train: TrainSettings = field(default_factory=TrainSettings)
    init_from: str | None = None
    test_split: str = "test"
    evaluate_split: str = "val"
    published: list[dict[str, Any]] | dict[str, Any] | None = None


@dataclass
class Comparison:
    """Several experiments that differ in a few keys, over the same seeds, against one reference.

    Attributes:
        base: what all rows have in common (an :class:`Experiment`).
        rows: ``{row name: {key: value that differs}}`` in the order of the table. A section with another ``name``
            replaces the
            base's section; other mappings are merged. Two extra keys are for the report: ``title`` is the row's title;
            rows with the same ``curve`` are operating points of one method, joined by a line of that name.
        reference: the row that Delta_MTL is taken against.
        seeds: one training per row and seed.
        name: name of the comparison.
        photos: photographs without labels to predict with the best deployed model: paths, or ``skimage:coffee``.
        panels: how many test images are shown in the report.
        published: published rows shown beside the measured ones.
        latency_rounds: interleaved rounds of the latency measurement.
        step_rounds: interleaved rounds in which a training step of every row is timed (its memory is measured too); 0
            leaves it out.
    """

    base: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    reference: str
    seeds: list[int] = field(default_factory=lambda: [0])
    name: str = "comparison"
    photos: list[str] = field(default_factory=list)
    panels: int = 6
    published: list[dict[str, Any]] = field(default_factory=list)
    latency_rounds: int = 20
    step_rounds: int = 0


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a config file.

    Raises:
        UserError: missing, not YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(read_text(path, "config"))
    except yaml.YAMLError as error:
        raise UserError(f"config {path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"config {path} must be a mapping of keys to values, but holds {type(content).__name__}")
    return content


def parse(kind: type[Config], content: Mapping[str, Any], source: str = "config") -> Config:
    """Read a mapping into a typed config; unknown keys and ill-typed values are refused.

    Raises:
        UserError: with the key at fault and what it must be.
    """
    check_keys(kind, content, source)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        made = parser.instantiate(parser.parse_object(dict(content)))
        values = {key: made[key] for key in get_type_hints(kind)}  # vars() would mangle a field called "values"
        return kind(**{**values, **{key: copy.deepcopy(content[key]) for key in free_fields(kind) if key in content}})
    except UserError:
        raise
    except Exception as error:  # jsonargparse raises several kinds; each means that the content does not fit the type
        raise UserError(f"{source}: {error}") from None


def free_fields(kind: type) -> list[str]:
    """Fields whose values are sections, checked later by their rooms.

    The parser would read the texts in them as YAML once more ("Table 2: depth" would become a mapping), so they are
    taken over as they stand in the file.
    """
    return [item.name for item in fields(kind) if "Any" in str(item.type)]


def check_keys(kind: type, content: Mapping[str, Any], source: str) -> None:
    """Refuse keys that the config class (and the config classes inside it) does not have.

    Raises:
        UserError: names the unknown key and the accepted ones.
    """
    hints = get_type_hints(kind)
    accepted = [item.name for item in fields(kind)]
    for key, value in content.items():
        known(f"key in {source}:", str(key), accepted)
        if is_dataclass(hints[key]) and isinstance(value, Mapping):
            check_keys(hints[key], value, f"{source}, section {key}")
    required = [name for name in accepted if name not in content and _is_required(kind, name)]
    if required:
        raise UserError(f"{source} lacks {', '.join(required)}: add it")


def _is_required(kind: type, name: str) -> bool:
    item = next(item for item in fields(kind) if item.name == name)
    return repr(item.default) == repr(item.default_factory)  # both MISSING


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

    Raises:
        UserError: it is neither a text nor a number.
    """
    value = (comparison.rows[row] or {}).get(key, default)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{key!r} of row {row!r} must be a text, but got {value!r}")
    return str(value)


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
        if not re.fullmatch(r"[\w-]+", name):
            raise UserError(
                f"row {name!r} becomes a folder: take letters, digits, '_' and '-' (any text can be its 'title')"
            )
        for key in ROW_TEXTS:
            row_text(comparison, name, key, "")
        content = merge(comparison.base, {key: value for key, value in (changes or {}).items() if key not in ROW_TEXTS})
        content.update(name=name, seed=seed)
        experiment = parse(Experiment, content, f"row {name!r}")
        if experiment.init_from is not None and experiment.init_from in comparison.rows:
            known(f"earlier row as init_from of {name!r}:", experiment.init_from, experiments)
        experiments[name] = experiment
    return experiments


def as_plain(config: Any) -> dict[str, Any]:
    """A config as a mapping of plain values that :func:`parse` reads back."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [plain(item) for item in value]
        return value

    result: dict[str, Any] = plain(asdict(config))
    return result


def to_yaml(config: Any) -> str:
    """A config as YAML text that :func:`read_yaml` and :func:`parse` read back."""
    return yaml.safe_dump(as_plain(config), sort_keys=False, allow_unicode=True)
