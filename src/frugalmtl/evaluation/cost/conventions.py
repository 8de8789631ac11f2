"""How papers print the number of operations, so that a figure is compared with what it means."""

from __future__ import annotations

from frugalmtl.core.checks import known

CONVENTION = "1 MAC = 1 multiply-add = 2 FLOPs; convolutions and matrix products only"
"""What our own columns mean; printed beside them."""

CONVENTIONS = {"macs": 1.0, "2 macs": 2.0, "macs / 2": 0.5}
"""Printed figure per MAC. ``macs / 2`` is what reproduces the survey's Table V from its stated image sizes (the same
numbers follow from two operations per MAC at half the height and width; they do not tell which one was done)."""


def in_convention(macs: float, convention: str) -> float:
    """MACs as a paper with that convention prints them.

    >>> in_convention(266.59e9, "macs / 2") / 1e9
    133.295

    Raises:
        UserError: unknown convention.
    """
    return macs * CONVENTIONS[known("FLOP convention", convention, CONVENTIONS)]
