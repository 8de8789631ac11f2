"""Training curves."""

from frugalmtl.report.sections.base import Section


class Training(Section):
    """Metric and loss over epochs."""

    title = "Training"
    order = 70
