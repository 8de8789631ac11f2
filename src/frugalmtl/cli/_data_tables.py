"""Table of what a dataset holds, for a terminal: a row per split and task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from frugalmtl.core.terminal import output_console, without_markup

_MOST_CLASSES, _MOST_SIZES = 8, 3
_NOTHING = "–"
Record = Mapping[str, Any]


def print_counts(splits: Mapping[str, Record]) -> None:
    """Print the counts of :meth:`frugalmtl.data.counting.SplitCounts.record`, split by split."""
    table = Table(box=SIMPLE, pad_edge=False, show_edge=False)
    for head, side in (("split", "left"), ("task", "left"), ("images", "right"), ("labels", "right")):
        table.add_column(head, justify=side, no_wrap=True)  # type: ignore[arg-type]  # "left" and "right"
    table.add_column("labelled", justify="right", no_wrap=True)
    table.add_column("holds")
    for split, record in splits.items():
        images = str(record["images"])
        table.add_row(without_markup(split), "", images, "", "", sizes_in_words(record["sizes"]))
        for task, counts in record["tasks"].items():
            share = counts["labelled"]
            labelled = _NOTHING if math.isnan(share) else percent(share)
            words = without_markup(_content(counts))
            table.add_row("", without_markup(task), images, str(counts["labels"]), labelled, words)
        table.add_section()
    console = output_console()
    console.print(table)
    console.print(
        "labelled: pixels with a label, of the labels that exist; shares are of these pixels", highlight=False
    )


def sizes_in_words(sizes: Sequence[Record]) -> str:
    """Heights and widths, the most frequent first.

    >>> sizes_in_words([{"height": 480, "width": 640, "images": 3}, {"height": 32, "width": 32, "images": 1}])
    '480 x 640 (3), 32 x 32 (1)'
    """
    words = [f"{size['height']} x {size['width']} ({size['images']})" for size in sizes[:_MOST_SIZES]]
    if len(sizes) == 1:
        return f"{sizes[0]['height']} x {sizes[0]['width']}"
    more = len(sizes) - len(words)
    return ", ".join(words) + (f" and {more} more sizes" if more else "")


def percent(share: float) -> str:
    """A share in percent, small ones to two digits.

    >>> percent(0.5), percent(0.00042), percent(0.9999), percent(0.0)
    ('50.0 %', '0.042 %', '> 99.9 %', '0 %')
    """
    if share in (0.0, 1.0):
        return f"{100 * share:g} %"
    if share > 0.9995:
        return "> 99.9 %"
    return f"{100 * share:.1f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def _content(counts: Record) -> str:
    if not counts["labels"]:
        return _NOTHING
    if "shares" in counts:
        return _shares(counts["shares"])
    if "median" in counts:
        low, median, high = (f"{counts[key]:.3g}" for key in ("min", "median", "max"))
        return f"min {low}, median {median}, max {high} {counts['unit']}".rstrip()
    return ""


def _shares(shares: Mapping[str, float]) -> str:
    """Classes with their shares, in their order; of many, the most and the least frequent."""
    there = {name: share for name, share in shares.items() if share > 0}
    absent = [name for name, share in shares.items() if share == 0]
    chosen = there
    if len(there) > _MOST_CLASSES:
        ranked = sorted(there, key=lambda name: -there[name])
        ends = ranked[: _MOST_CLASSES - 2] + ranked[-2:]
        chosen = {name: there[name] for name in ends}
    words = [f"{name} {percent(share)}" for name, share in chosen.items()]
    if len(chosen) < len(there):
        words.insert(_MOST_CLASSES - 2, f"... {len(there) - len(chosen)} more ...")
    if absent:
        rest = f" and {len(absent) - _MOST_CLASSES} more" if len(absent) > _MOST_CLASSES else ""
        words.append(f"absent: {', '.join(absent[:_MOST_CLASSES])}{rest}")
    return ", ".join(words) or _NOTHING
