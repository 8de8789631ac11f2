"""Conventions by which papers print the number of operations."""

from __future__ import annotations

from frugalmtl.core.checks import known

CONVENTION = "1 MAC = 1 multiply-add = 2 FLOPs; convolutions and matrix products only"
"""What our own columns mean; printed beside them."""

CONVENTIONS = {"macs": (1.0, 1.0), "2 macs": (2.0, 2.0), "macs / 2": (0.5, 0.5), "2 macs, products 1": (2.0, 1.0)}
"""Printed figure per MAC: of layers with weights, and of the products inside attention.

``macs / 2`` is what reproduces the survey's Table V from its stated image sizes (the same numbers follow from two
operations per MAC at half the height and width; they do not tell which one was done). ``2 macs, products 1`` reproduces
InterroGate's transformers (Tables 3 and 4), derived from the difference of its rows: either one operation per MAC of
attention's two products, or two of one of them; the numbers do not tell."""


def in_convention(macs: float, convention: str, products: float = 0.0) -> float:
    """MACs as a paper with that convention prints them.

    >>> in_convention(266.59e9, "macs / 2") / 1e9
    133.295

    Args:
        macs: all of them.
        convention: one of :data:`CONVENTIONS`.
        products: those among them that are products inside attention.

    Raises:
        UserError: unknown convention.
    """
    per_layer, per_product = CONVENTIONS[known("FLOP convention", convention, CONVENTIONS)]
    return (macs - products) * per_layer + products * per_product
