"""Budgets as they are written."""

from __future__ import annotations

import pytest

from frugalmtl.core.budget import Budget
from frugalmtl.core.checks import UserError


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("0.6x", "share", 0.6),
        ("1x", "share", 1.0),
        (" .5 x ", "share", 0.5),
        ("35ms", "ms", 35.0),
        ("2.5 ms", "ms", 2.5),
        ("1.2G", "macs", 1.2e9),
        ("800M", "macs", 8e8),
        ("5k", "macs", 5e3),
        ("1T", "macs", 1e12),
        ("1e9", "macs", 1e9),
        ("1.5e+9", "macs", 1.5e9),
    ],
)
def test_budgets_are_read(text: str, kind: str, value: float) -> None:
    budget = Budget.parse(text)
    assert (budget.kind, budget.value) == (kind, pytest.approx(value))


@pytest.mark.parametrize(
    "text", ["", "x", "half", "0.6 y", "-1x", "1.2.3G", "0.6X", "35 s", "1,2G", ".", "nanx", "infG"]
)
def test_other_budgets_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match="budget must be a share") as caught:
        Budget.parse(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["0x", "0", "0ms", "0.0G"])
def test_a_budget_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="above 0"):
        Budget.parse(text)
