"""The report as one HTML file: everything inline, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from frugalmtl.report._embedding import data_uri, embed
from frugalmtl.report._gallery import gallery
from frugalmtl.report._html import Markup, join, prose, tag
from frugalmtl.report._tables import (
    conditions,
    configurations,
    cost_table,
    metrics_table,
    results_table,
    row_name,
    step_table,
)
from frugalmtl.report.columns import answer, step_baseline
from frugalmtl.report.figures import Drawing, Look, drawings, recolour
from frugalmtl.report.palette import DARK, LIGHT, Theme, row_styles
from frugalmtl.report.results import Results

PICTURE_BUDGET = 10_000_000
"""Characters of the page that pictures of samples may take together; figures and tables come on top."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_AFFINITY = (
    "Row: the task down whose loss a trial step went, at what the tasks share, and was taken back. Column: the task "
    "whose loss fell, by how many percent. Blue helps, red hurts. The diagonal is what a task gains from its own step; "
    "it may lie beyond the scale, which is that of the other cells and the same for all models. Tasks that help each "
    "other are worth grouping; one that hurts others, or is hurt, deserves more channels of its own (in encoders with "
    "a target per task, such as tau of InterroGate). Mean over epochs and seeds; all steps have the same length, a "
    "thousandth of the shared parameters' norm."
)
_NARROW = "(max-width: 640px)"
_DARK = "(prefers-color-scheme: dark)"


def render_page(results: Results, folder: Path) -> str:
    """The page.

    Args:
        results: what to show.
        folder: the folder that the pictures' paths are relative to.

    Raises:
        UserError: a picture is missing or not readable.
    """
    photographs = {panel.image for panel in [*results.panels, *results.photos]}
    pictures = embed(results.pictures(), folder, photographs, PICTURE_BUDGET)
    figures = drawings(results)
    sections = [
        ("results", "Results", _results(results)),
        ("tradeoff", "Accuracy against compute", _tradeoff(results, figures)),
        ("panels", "Image by image", _gallery(results, pictures, "panels") if results.panels else None),
        ("photos", "Photographs", _gallery(results, pictures, "photos") if results.photos else None),
        ("decisions", "What the networks decided", _decisions(results, figures)),
        ("interference", "How the tasks get on", _interference(results, figures)),
        ("training", "Training", _figures(f for f in figures if f.section == "training")),
        ("cost", "Cost", _cost(results)),
        ("runs", "Configuration and environment", configurations(results)),
        ("method", "How the numbers were measured", conditions(results)),
    ]
    shown = [(key, title, content) for key, title, content in sections if content]
    links = tag("nav", *(tag("a", title, href=f"#{key}") for key, title, _ in shown), aria_label="Sections")
    bodies = [tag("section", tag("h2", title), content, id=key) for key, title, content in shown]
    header = tag(
        "header", tag("h1", results.name), _subtitle(results), tag("p", prose(answer(results)), class_="answer"), links
    )
    footer = tag("footer", f"Made by frugalmtl from results.json, {results.created}.")
    dialog = tag(
        "dialog",
        tag("div", class_="views"),
        tag("form", tag("button", "Close", type="submit"), method="dialog"),
        id="viewer",
        aria_label="Enlarged picture",
    )
    body = tag("body", tag("main", header, *bodies, footer), dialog, tag("script", _asset("page.js")))
    return f"<!DOCTYPE html>\n{tag('html', _head(results), body, lang='en')}\n"


def _head(results: Results) -> Markup:
    style = Markup(_theme_css(LIGHT, results) + f"@media {_DARK}{{{_theme_css(DARK, results)}}}") + _asset("page.css")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", results.name),
        tag("style", Markup(style)),
    )


def _theme_css(theme: Theme, results: Results) -> str:
    names = ("background", "panel", "ink", "quiet", "line")
    pairs = [f"--{name}:{getattr(theme, name)}" for name in names]
    pairs += [f"--r{index}:{style.colour(theme)}" for index, style in enumerate(row_styles(results).values())]
    classes = "".join(f".r{index}{{color:var(--r{index})}}" for index in range(len(results.rows)))
    return f":root{{{';'.join(pairs)}}}{classes}"


def _asset(name: str) -> Markup:
    return Markup((files("frugalmtl.report") / name).read_text(encoding="utf-8"))


def _subtitle(results: Results) -> Markup:
    given = results.protocol
    count = len(given.seeds)
    facts = [
        f"{given.dataset}, {given.split} ({given.split_size:,} images)",
        " × ".join(map(str, given.image_size)),
        f"{given.epochs:g} epochs",
        f"{count} seed{'' if count == 1 else 's'}",
        given.hardware,
    ]
    return tag("p", " · ".join(facts), class_="subtitle")


def _results(results: Results) -> Markup:
    note = (
        "Mean ± standard deviation over seeds. Bold marks the best measured value of a column. Operations, "
        "parameters and latency are those of the deployed model for one image."
    )
    if any(row.budget for row in results.rows):
        note += " Budget: what was asked, and how far the measured cost is off (of the seed farthest from it)."
    others = metrics_table(results)
    folded = tag("details", tag("summary", "All metrics"), others) if others else None
    return join([tag("p", note, class_="note"), results_table(results), folded])


def _tradeoff(results: Results, figures: list[Drawing]) -> Markup | None:
    note = (
        "Cost of the deployed model for one image; further up is better, further left is cheaper. The dashed "
        "line is the reference, the grey band joins the models that no other beats in both (Pareto front, "
        "outlined), bars are ± one standard deviation over seeds."
    )
    if any(row.curve for row in results.rows):
        note += " Points on a coloured line are operating points of one method, in order of cost."
    charts = _figures(f for f in figures if f.section == "tradeoff")
    return join([tag("p", note, class_="note"), charts]) if charts else None


def _figures(chosen: Iterable[Drawing]) -> Markup | None:
    made = [_figure(drawing) for drawing in chosen]
    return tag("div", *made, class_="charts") if made else None


def _by_row(results: Results, chosen: Iterable[Drawing]) -> list[Markup]:
    """Folds with the figures of one row each; the first one is open."""
    drawn = list(chosen)
    folds: list[Markup] = []
    for row in results.rows:
        charts = _figures(drawing for drawing in drawn if drawing.row == row.name)
        if charts:
            folds.append(tag("details", tag("summary", row_name(results, row)), charts, open=not folds))
    return folds


def _decisions(results: Results, figures: list[Drawing]) -> Markup | None:
    """What the encoders show of themselves."""
    folds = _by_row(results, (f for f in figures if f.section == "decisions"))
    if not folds:
        return None
    note = (
        "What the encoder of a row shows of itself after training, taken from its first seed: a line per task, a "
        "column per layer in the order of execution."
    )
    return join([tag("p", note, class_="note"), *folds])


def _interference(results: Results, figures: list[Drawing]) -> Markup | None:
    """Weights and gradients during training: figures of all rows, then those of single ones."""
    own = [f for f in figures if f.section == "interference"]
    trials = _figures(f for f in figures if f.section == "affinity")
    if not own and not trials:
        return None
    note = (
        "What the tasks wanted from the parameters they share, and what the balancer made of it, as recorded during "
        "the training of the first seed; a value is a mean over the steps of an epoch. Gradients of the tasks' losses "
        "are compared where the tasks' features part, or at the shared parameters where there is no such place or "
        "the balancer was told so. A model whose tasks share nothing has none to compare, and stands in no such figure."
    )
    overall = _figures(f for f in own if not f.row)
    affinity = [tag("h3", "Affinity: what a step for one task does to the others"), tag("p", _AFFINITY, class_="note")]
    return join(
        [
            tag("p", note, class_="note") if own else None,
            overall,
            *_by_row(results, own),
            *([*affinity, trials] if trials else []),
        ]
    )


def _figure(drawing: Drawing) -> Markup:
    """One figure in four looks; the browser takes the one for its width and theme."""
    wide, narrow = (drawing.draw(Look(narrow=narrow, form="svg")) for narrow in (False, True))

    def address(svg: bytes) -> str:
        return data_uri(svg, "image/svg+xml")

    picture = tag(
        "picture",
        tag("source", media=f"{_NARROW} and {_DARK}", srcset=address(recolour(narrow))),
        tag("source", media=_NARROW, srcset=address(narrow)),
        tag("source", media=_DARK, srcset=address(recolour(wide))),
        tag("img", src=address(wide), alt=drawing.text),
    )
    caption = tag("p", drawing.caption, class_="note") if drawing.caption else None
    title = tag("figcaption", prose(drawing.title))
    return tag("figure", title, caption, picture, class_="chart wide" if drawing.wide else "chart")


def _gallery(results: Results, pictures: dict[str, str], which: str) -> Markup:
    panels = results.panels if which == "panels" else results.photos
    words = (
        "Input, label and prediction of every model. Grey hatching marks pixels without a label. Choose an "
        "image to see all tasks, or a task and “all images” to compare models; select a picture to enlarge "
        "it."
        if which == "panels"
        else "Real photographs, which nobody labelled: only the predictions can be judged, by eye."
    )
    return join([tag("p", words, class_="note"), gallery(results, panels, pictures, f"{which}-gallery")])


def _cost(results: Results) -> Markup:
    note = (
        "Per image. “As trained” is the model with everything that its training needs; “deployed” is what "
        "remains of it. The bars set the deployed model against the deployed reference."
    )
    steps = step_table(results)
    baseline = step_baseline(results)
    words = (
        "One step of the training on a batch: forward, losses and all that the balancer does, without loading data and "
        "without the optimiser's update; peak memory beyond the weights, gradients included. Rows are timed against "
        "each other."
    )
    if baseline:
        words += f" Percentages are of “{baseline.label}”, which shares all features and weighs tasks by fixed weights."
    training = [tag("h3", "Training step"), tag("p", words, class_="note"), steps] if steps else []
    return join([tag("p", note, class_="note"), cost_table(results), *training])
