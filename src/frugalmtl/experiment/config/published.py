"""Published figures: numbers of a paper's table, with their source and the paper's way of counting operations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from frugalmtl.core.checks import UserError, known
from frugalmtl.core.terminal import visible
from frugalmtl.evaluation.cost.conventions import CONVENTIONS

if TYPE_CHECKING:
    from frugalmtl.report.results import PublishedRow


@dataclass(frozen=True)
class Published:
    """Figures that a paper prints for one network; they never mix with measured ones.

    Attributes:
        source: paper, table and row.
        title: method as the paper calls it; needed where the figures are a row of a comparison's table.
        convention: how the paper counts operations; with ``flops``, one of those that measured operations can be
            printed
            in (``"macs"``, ``"2 macs"``, ...).
        flops: operations per image as printed.
        macs: multiply-adds per image.
        params: parameters.
        scores: ``{task: score}`` in the paper's unit.
        delta_mtl: gain over single-task networks in per cent.
        values: ``{column: value}`` of a comparison's table in the unit of the measured column: a task's name,
            ``mean_rank``, ``latency_ms``, ...; others are listed beneath the row.

    Raises:
        UserError: ``flops`` in a convention that is not known.
    """

    source: str
    title: str = ""
    convention: str = ""
    flops: float | None = None
    macs: float | None = None
    params: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    delta_mtl: float | None = None
    values: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.flops is not None and self.convention:
            known("FLOP convention", self.convention, CONVENTIONS)

    def as_dict(self) -> dict[str, Any]:
        """What the paper states, as plain values; what it leaves out is left out."""
        return {key: value for key, value in vars(self).items() if value not in ("", None, {})}

    def row(self) -> PublishedRow:
        """The row of a comparison's table.

        Raises:
            UserError: it has no title.
        """
        from frugalmtl.report.results import PublishedRow

        if not self.title:
            raise UserError(f"a published row of a comparison needs a 'title': add it to {self.source!r}")
        shared = {key: value for key in ("macs", "params", "delta_mtl") if (value := getattr(self, key)) is not None}
        return PublishedRow(visible(self.title), visible(self.source), self.convention, {**shared, **self.values})
