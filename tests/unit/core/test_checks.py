"""Numbers that are out of range."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from frugalmtl.core.checks import UserError, finite, fraction, known, not_negative, positive

Check = Callable[[str, float], float]


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (positive, (1e-300, 1, 1e300)),
        (not_negative, (0, 0.0, 1e300)),
        (finite, (-1e300, 0, 1e300)),
        (fraction, (0, 0.5, 1)),
    ],
)
def test_what_is_in_range_comes_back(check: Check, values: tuple[float, ...]) -> None:
    assert [check("x", value) for value in values] == list(values)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (positive, 0.0, "x must be above 0, but got 0.0"),
        (positive, -math.inf, "x must be above 0, but got -inf"),
        (positive, math.nan, "x must be above 0, but got nan"),
        (positive, math.inf, "x must be finite, but got inf"),
        (not_negative, -1e-300, "x must be 0 or more, but got -1e-300"),
        (not_negative, math.nan, "x must be 0 or more, but got nan"),
        (not_negative, math.inf, "x must be finite, but got inf"),
        (finite, math.nan, "x must be finite, but got nan"),
        (finite, -math.inf, "x must be finite, but got -inf"),
        (fraction, -0.1, r"x must lie in \[0, 1\], but got -0.1"),
        (fraction, math.nan, r"x must lie in \[0, 1\], but got nan"),
        (fraction, math.inf, r"x must lie in \[0, 1\], but got inf"),
    ],
)
def test_what_is_out_of_range_is_refused(check: Check, value: float, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}$"):
        check("x", value)


def test_a_name_that_is_nearly_right_gets_a_hint() -> None:
    assert known("task", "depth", ["depth"]) == "depth"
    with pytest.raises(UserError, match=r"unknown task 'dept': expected one of depth, edges\. Did you mean 'depth'"):
        known("task", "dept", ["edges", "depth"])
