"""What the report shows of how the tasks of a model get on in training, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from frugalmtl.core.types import Heatmap
from frugalmtl.report._canvas import Look
from frugalmtl.report._drawing import Drawing, Section, file_name
from frugalmtl.report._heatmaps import HALF_PAGE, heat_map, heat_map_words
from frugalmtl.report._interference_figures import (
    affinity_maps,
    cosine_curves,
    has_panels,
    norm_curves,
    pairs_over_epochs,
    summary,
    weight_curves,
)
from frugalmtl.report._records import Histories, PerPair, even_left_out, mean, over_epochs, per_pair, per_task, positive
from frugalmtl.report.results import Results

_COSINE = (
    "1 where two tasks want the same, 0 where they have nothing to do with each other, below 0 where a step that helps "
    "one hurts the other."
)


def interference(results: Results) -> list[Drawing]:
    """The figures that ``results`` has numbers for: gradients, weights, what a step does, then single models."""
    return [
        *_summaries(results),
        *_agreement(results),
        *_lengths(results),
        *_weights(results),
        *_affinities(results),
        *_pair_maps(results),
    ]


def _summaries(results: Results) -> list[Drawing]:
    """Pairs of tasks against models: the whole training at a glance."""
    often = "How often: in which share of the compared steps the gradients of two tasks pointed against each other."
    strong = f"How strongly: {_COSINE}"
    facts: tuple[tuple[PerPair, str, str], ...] = (
        ("conflicts", "Share of steps in conflict", often),
        ("cosines", "Mean cosine of gradients", strong),
    )
    pictures = [(f"interference_{kind}", title, summary(results, kind), words) for kind, title, words in facts]
    return [
        _map_drawing(
            name, title, picture, results.name, f"{words} Mean over epochs.", alarming=name.endswith("conflicts")
        )
        for name, title, picture, words in pictures
        if picture
    ]


def _agreement(results: Results) -> list[Drawing]:
    histories = per_pair(results, "cosines")
    if not any(len(history) > 1 for history in histories.values()):
        return []
    each = "pair of tasks" if has_panels(results) else "task: the mean over its pairs with all other tasks"
    alt = f"Cosine of gradients per epoch, one line per model, one panel per {each}; conflict lies below 0."
    caption = f"Cosine of the tasks' gradients, one panel per {each}. Below 0, on grey ground, tasks are in conflict."
    return [_wide("curves_cosines", "Agreement of gradients over training", alt, cosine_curves, results, caption)]


def _lengths(results: Results) -> list[Drawing]:
    histories = positive(per_task(results, "norms"))
    if not histories:
        return []
    alt = f"{_extremes(histories)} One panel per task, one line per model, logarithmic."
    caption = (
        "Length of the gradient of a task's loss, without the task's weight, divided by the mean length over the tasks "
        "of the same model and epoch. Weighed alike, a task far above 1 decides where the shared parameters go, and "
        "one far below is hardly heard."
    )
    return [_wide("curves_norms", "Length of gradients over training", alt, norm_curves, results, caption)]


def _weights(results: Results) -> list[Drawing]:
    histories = per_task(results, "weights")
    uneven = even_left_out(histories)
    if not uneven:
        return []
    alt = f"{_extremes(uneven)} One panel per task, one line per model."
    caption = (
        "Weight of a task's loss, or of its gradient at what the tasks share, divided by the mean size of the weights "
        "of the same model and epoch: 1 is as much as the average task."
    )
    even = [results.row(name).label for name in histories if name not in uneven]
    if even:
        caption += f" Not drawn, since all their tasks weigh 1 throughout: {', '.join(even)}."
    return [_wide("curves_weights", "Weights of the tasks over training", alt, weight_curves, results, caption)]


def _affinities(results: Results) -> list[Drawing]:
    pictures = affinity_maps(results)
    made = []
    for place, row in enumerate(results.rows):
        if row.name in pictures:
            name, picture = f"affinity_{file_name(row, place)}", pictures[row.name]
            made.append(_map_drawing(name, row.label, picture, row.label, section="affinity"))
    return made


def _pair_maps(results: Results) -> list[Drawing]:
    """Where pairs are too many for panels, a heat map of pairs and epochs for every row."""
    made = []
    for place, row in enumerate([] if has_panels(results) else results.rows):
        picture = pairs_over_epochs(results, row)
        if picture:
            name, title = f"cosines_{file_name(row, place)}", "Agreement of gradients, pair by pair"
            made.append(_map_drawing(name, title, picture, row.label, f"Cosine: {_COSINE}", row.name))
    return made


def _map_drawing(
    name: str,
    title: str,
    picture: Heatmap,
    label: str,
    caption: str = "",
    row: str = "",
    *,
    section: Section = "interference",
    alarming: bool = False,
) -> Drawing:
    draw = partial(heat_map, label, picture, means=False, alarming=alarming)
    wide = len(picture.columns) > HALF_PAGE
    return Drawing(name, title, heat_map_words(picture), draw, wide, section, row, caption)


def _wide(
    name: str, title: str, alt: str, draw: Callable[[Results, Look], bytes], results: Results, caption: str
) -> Drawing:
    return Drawing(name, title, alt, partial(draw, results), section="interference", caption=caption)


def _extremes(histories: Histories) -> str:
    """Which task has most and which least, over epochs and rows."""
    tasks = dict.fromkeys(name for history in histories.values() for _, values in history for name in values)
    means = {task: mean(over_epochs(history, task) for history in histories.values()) for task in tasks}
    most, least = max(means, key=lambda task: means[task]), min(means, key=lambda task: means[task])
    return (
        f"Relative to the mean over tasks: most in {most} ({means[most]:.2g}), least in {least} ({means[least]:.2g})."
    )
