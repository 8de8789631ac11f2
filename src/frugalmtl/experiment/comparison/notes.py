"""Notes of a comparison: how its numbers came about, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from frugalmtl.engine.checkpoints import facts_at_start
from frugalmtl.engine.checkpoints.identity import flatten
from frugalmtl.evaluation.evaluator import Remarks
from frugalmtl.experiment.config.comparison import Comparison, one_per_training, trained_row
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import as_plain
from frugalmtl.experiment.measure.profiling import BATCH
from frugalmtl.experiment.runs.run import Run
from frugalmtl.report import Cost


def protocol_notes(comparison: Comparison, runs: Mapping[str, Run]) -> list[str]:
    """How the numbers came about, and in what the rows differ.

    Args:
        comparison: the comparison's config.
        runs: a finished run of every row of results; those of one training are named once, as the row.
    """
    points = [name for name, run in runs.items() if run.point is not None]
    runs = {trained_row(name): runs[name] for name in one_per_training(runs)}
    configs = {name: run.config for name, run in runs.items()}
    staged = [name for name, run in runs.items() if len({record["stage"] for record in run.epochs()}) > 1]
    reference = _recipe(configs[comparison.reference])
    other = {name: _differences(_recipe(config), reference) for name, config in configs.items()}
    same = "" if any(other.values()) else ", trained by the same recipe"
    differing = [f"{name} ({', '.join(keys)})" for name, keys in other.items() if keys]
    notes = [
        "Scores are those of the deployed models, whose outputs equal the training models' within 1e-4.",
        f"Delta_MTL is taken per seed against the reference row of the same seed and data{same}.",
        "Latency is measured in interleaved rounds over all rows in one run, through the same images of the split.",
    ]
    if len(comparison.seeds) > 1:
        notes.append(
            "Operations and parameters of deployed models are means over seeds; latency, memory and stored bytes are "
            "those of the first seed's model, and so are the pictures of what a network decided."
        )
    if points:
        notes.append(
            "Rows of one name before the @ are one training, deployed at several budgets, for each of which it was "
            f"calibrated when the training ended: {', '.join(points)}."
        )
    if differing:
        notes.append(f"Rows whose recipe differs from the reference's: {'; '.join(differing)}.")
    if staged:
        notes.append(f"Rows trained in several stages, each with the learning-rate schedule anew: {', '.join(staged)}.")
    held_out = {name: facts_at_start(run.weights).get("config.held_out", 0.0) for name, run in runs.items()}
    held_out = {name: share for name, share in held_out.items() if share}
    if held_out:
        shares = ", ".join(f"{name} ({share:.0%})" for name, share in held_out.items())
        notes.append(
            f"Rows whose balancer holds out a part of the training split, and learns its weights alone on it: {shares}."
        )
    return [*notes, *_choice_notes(configs), *_start_notes(configs)]


def cost_notes(deployed: Mapping[str, Cost], split: str) -> list[str]:
    """On which images costs were measured.

    Args:
        deployed: cost of every row's deployed model.
        split: that the images are of.
    """
    cost = next(iter(deployed.values()))
    single, batched = cost.latency_ms, cost.batch_latency_ms
    in_file = any(math.isfinite(each.onnxruntime_latency_ms.milliseconds) for each in deployed.values())
    fewer = "" if batched.batch >= BATCH else f" (the split has fewer than {BATCH})"
    notes = [
        f"Latency: {single.images} images of split {split!r} one by one, and {batched.images} in batches of "
        f"{batched.batch}{fewer}; the median over the rounds. Networks run in eager PyTorch"
        + ("; in onnxruntime their ONNX files, in the same rounds." if in_file else ".")
    ]
    varying = [name for name, each in deployed.items() if each.varies]
    if varying:
        notes.append(
            f"Rows that choose for each image what they run: {', '.join(varying)}. Their multiply-adds are counted on "
            f"the first {deployed[varying[0]].images} images of split {split!r} (mean, 5th and 95th percentile), and "
            "their latency is the mean over the images that it was measured on."
        )
    return notes


def elsewhere_notes(places: Mapping[str, str]) -> list[str]:
    """Whose time budgets count that another machine is to keep.

    Args:
        places: machine and runtime, by the title of the row.

    >>> elsewhere_notes({"a": "a box in onnxruntime", "b": "a box in onnxruntime"})[0].partition(":")[0]
    'Budgets of time on a box in onnxruntime (a, b)'
    """
    rows: dict[str, list[str]] = {}
    for title, place in places.items():
        rows.setdefault(place, []).append(title)
    return [
        f"Budgets of time on {place} ({', '.join(titles)}): held against the time that the file has for the "
        "multiply-adds of the deployed model; latency columns are of this machine."
        for place, titles in rows.items()
    ]


def _choice_notes(configs: Mapping[str, Experiment]) -> list[str]:
    """Which rows keep the weights of another epoch than the last, or end before all their epochs."""
    kept = [name for name, config in configs.items() if config.train.keep == "best"]
    ended = [name for name, config in configs.items() if config.train.patience]
    splits = dict.fromkeys(configs[name].evaluate_split for name in (*kept, *ended))
    where = f"on split {' or '.join(map(repr, splits))} (the tables of seeds say which epochs)"
    notes = []
    if kept:
        notes.append(f"Rows that keep the weights of the epoch whose scores were best {where}: {', '.join(kept)}.")
    if ended:
        notes.append(f"Rows whose training ends early when scores no longer improve {where}: {', '.join(ended)}.")
    return notes


def _start_notes(configs: Mapping[str, Experiment]) -> list[str]:
    """What rows have behind them beside their own training."""
    starts = {name: config.start for name, config in configs.items() if config.start is not None}
    weights = [name for name, start in starts.items() if "weights" in start.take]
    structure = [
        f"{name} (of {start.run}{'' if start.seed is None else f', seed {start.seed}'})"
        for name, start in starts.items()
        if "structure" in start.take
    ]
    notes = []
    if weights:
        notes.append(
            f"Rows that start from another row's weights have that training behind them as well: {', '.join(weights)}."
        )
    if structure:
        notes.append(
            "Rows that take over what another run decided on its structure; the time that it took is not in theirs: "
            f"{', '.join(structure)}."
        )
    return notes


def gaps(undefined: Sequence[str], unscored: Sequence[str]) -> list[str]:
    """Why a column is empty.

    Args:
        undefined: tasks in which the reference scores 0.
        unscored: tasks in which a row has no score.
    """
    notes = []
    if undefined:
        notes.append(f"There is no Delta_MTL: the reference scores 0 in {', '.join(undefined)}.")
    if unscored:
        notes.append(f"There is no mean rank: a row has no score for {', '.join(unscored)}.")
    return notes


def remark_notes(remarks: Mapping[str, Sequence[Remarks]]) -> list[str]:
    """Remarks on scores, one line each, with the rows that they hold for where it is not all of them.

    Args:
        remarks: ``{row: remarks of each seed}``.

    >>> remark_notes({"a": [{"depth": {"rmse": "no valid label"}}], "b": [{}]})
    ['depth, rmse: no valid label (a).']
    """
    rows: dict[str, list[str]] = {}
    for name, seeds in remarks.items():
        lines = [f"{task}, {key}: {line}" for one in seeds for task, each in one.items() for key, line in each.items()]
        for line in dict.fromkeys(lines):
            rows.setdefault(line, []).append(name)
    return [
        f"{line}." if len(names) == len(remarks) else f"{line} ({', '.join(names)})." for line, names in rows.items()
    ]


def _recipe(config: Experiment) -> dict[str, Any]:
    """How a row was trained, flat: everything that a fair comparison of methods holds equal."""
    plain = as_plain(config)
    train = {key: plain["train"][key] for key in config.train.identity()}
    return flatten({key: plain[key] for key in ("augmentation", "backbone", "fill")} | {"train": train})


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    keys = dict.fromkeys([*one, *other])
    return [key for key in keys if one.get(key) != other.get(key)]
