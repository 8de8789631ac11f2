"""Remedies after a divergence: changes to the config of a comparison or sweep, and runs that they make out of date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frugalmtl.experiment.config.axis import Axis, Place

_CLIP = "'train: {clip_norm: 1}'"
_GENTLER = f"'train: {{optimizer: {{lr: ...}}}}' with a lower rate, or {_CLIP}"
_RATE = "train.optimizer.lr"


@dataclass(frozen=True)
class Remedy:
    """A change to a config that makes the steps of a row smaller.

    Attributes:
        place: what in the config is changed.
        change: what it gets.
        otherwise: another way, which concerns no other run.
    """

    place: str
    change: str = _GENTLER
    otherwise: str = ""

    def text(self, outdated: Sequence[Path]) -> str:
        """The whole advice, word for word to be followed.

        Args:
            outdated: files and folders that hold what the config said before.
        """
        deletion = f", delete {', '.join(map(str, outdated))}" if outdated else ""
        otherwise = f"; or {self.otherwise}, and run it again" if self.otherwise else ""
        return (
            f"give {self.place} {self.change}{deletion}, and run the same command again, which keeps all other runs "
            f"that are finished{otherwise}"
        )


def row_remedy(row: str) -> Remedy:
    """What to do when a comparison's row, or a fixed row of a sweep, has diverged."""
    return Remedy(f"row {row!r}")


def point_remedy(axis: Axis, place: Place) -> Remedy:
    """What to do when the point of a sweep has diverged; all points share one row of the config."""
    change = _CLIP if _RATE in axis.keys else _GENTLER
    if axis.grid is not None and axis.count > 1:
        values = [f"{value!r} of {key!r}" for key, value in axis.assignments(place).items() if len(axis.grid[key]) > 1]
        return Remedy("'row' of 'sweep'", change, f"leave {' or '.join(values)} out of the 'grid' of 'sweep'")
    if axis.values is not None and len(axis.values) > 1:
        return Remedy("'row' of 'sweep'", change, f"leave {place!r} out of the 'values' of 'sweep'")
    if axis.places is None and axis.key == _RATE:
        return Remedy("'row' of 'sweep'", change, f"set 'high' of 'sweep' below {place!r}")
    return Remedy("'row' of 'sweep'", change)
