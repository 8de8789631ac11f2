"""Budget of a deployed model: a share of a reference, multiply-adds, or milliseconds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from frugalmtl.core.checks import UserError, positive

_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True)
class Budget:
    """What the whole deployed model may cost per image.

    Attributes:
        kind: a share of the single-task networks' multiply-adds, multiply-adds, or milliseconds.
        value: the number.
    """

    kind: Literal["share", "macs", "ms"]
    value: float

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``"0.6x"`` (of the single-task networks), ``"1.2G"`` (multiply-adds) or ``"35ms"``.

        Raises:
            UserError: none of these.
        """
        match = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(x|ms|[kMGT]?)\s*", str(text))
        try:
            number = float(match.group(1)) if match else 0.0
        except ValueError:
            match = None
        if match is None:
            raise UserError(
                f"budget must be a share of the single-task networks such as '0.6x', multiply-adds such as '1.2G', or "
                f"milliseconds such as '35ms', but got {text!r}"
            )
        positive("budget", number)
        if match.group(2) == "x":
            return cls("share", number)
        if match.group(2) == "ms":
            return cls("ms", number)
        return cls("macs", number * _UNITS[match.group(2)])
