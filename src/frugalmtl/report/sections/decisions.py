"""Decisions of the trained encoders, row by row."""

from frugalmtl.report.sections.base import Section


class Decisions(Section):
    """The pictures that encoders give."""

    title = "What the networks decided"
    order = 50
    note = (
        "What the encoder of a row shows of itself after training, taken from its first seed: what it does with single "
        "images of the test split, and heat maps with a line per task and a column per layer in the order of execution."
    )
