"""Decisions of the trained encoders, as heat maps row by row."""

from frugalmtl.report.sections.base import Section


class Decisions(Section):
    """The heat maps that encoders give."""

    title = "What the networks decided"
    order = 50
    note = (
        "What the encoder of a row shows of itself after training, taken from its first seed: a line per task, a "
        "column per layer in the order of execution."
    )
