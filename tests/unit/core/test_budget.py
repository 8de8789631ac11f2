"""Budgets as they are written."""

from __future__ import annotations

import warnings

import pytest

from frugalmtl.core.budget import ROUNDS, Budget, CostPoint, goal_in_macs, goal_of_time, nearest_in_time
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


@pytest.mark.parametrize(
    ("text", "runtime"),
    [("35ms", "eager"), ("35ms@eager", "eager"), ("2.5 ms@onnxruntime", "onnxruntime"), ("0.6x", "eager")],
)
def test_a_budget_of_time_names_its_runtime(text: str, runtime: str) -> None:
    assert Budget.parse(text).runtime == runtime


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("35ms@tensorrt", "unknown runtime 'tensorrt': expected one of eager, onnxruntime"),
        ("0.6x@onnxruntime", "budget must be a share"),
        ("35ms@", "budget must be a share"),
    ],
)
def test_other_runtimes_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Budget.parse(text)


LEAST, MOST = CostPoint("the smallest", 1e9, 2.0), CostPoint("the largest", 4e9, 20.0)


def test_shares_refer_to_the_single_task_networks() -> None:
    assert goal_in_macs(Budget("share", 0.5), 6e9, LEAST, MOST) == 3e9
    assert goal_in_macs(Budget("macs", 2e9), 6e9, LEAST, MOST) == 2e9
    assert goal_in_macs(Budget("macs", 0.99e9), 6e9, LEAST, MOST, slack=0.02) == 0.99e9


def test_what_every_model_costs_more_than_is_refused() -> None:
    value = 0.99e9
    message = (
        rf"a budget of {value / 1e9:.4g} G multiply-adds \({value / 6e9:.2f}x of the single-task networks\) cannot be "
        r"kept: the smallest costs 1 G \(0.17x\), the largest 4 G \(0.67x\); ask for something between"
    )
    with pytest.raises(UserError, match=message):
        goal_in_macs(Budget("macs", value), 6e9, LEAST, MOST)


def test_a_budget_that_every_model_meets_is_that_of_the_dearest() -> None:
    message = (
        r"a budget of 4.1 G multiply-adds \(0.68x of the single-task networks\) is met by the largest at 4 G "
        r"\(0.67x\): that is trained"
    )
    with pytest.warns(UserWarning, match=message):
        assert goal_in_macs(Budget("macs", 4.1e9), 6e9, LEAST, MOST) == MOST.macs
    with pytest.warns(UserWarning, match="a budget of 20.1 ms is met by the largest in 20 ms"):
        goal = goal_of_time(20.1, (LEAST, MOST), "this machine")
    tried: list[float] = []
    assert nearest_in_time(20.1, goal, LEAST, MOST, lambda target: (tried.append(target), 19.0)) is None
    assert tried == [goal] == [MOST.macs], "nothing is gained by trying others"


def test_a_time_is_expected_on_the_line_between_the_ends() -> None:
    assert goal_of_time(11.0, (LEAST, MOST), "this machine") == pytest.approx(2.5e9)
    assert goal_of_time(2.0, (LEAST, MOST), "this machine") == pytest.approx(1.3e9), "never at an end itself"
    with pytest.raises(UserError, match=r"a budget of 1.79 ms .*the smallest takes 2 ms, the largest 20 ms"):
        goal_of_time(1.79, (LEAST, MOST), "this machine")


def test_a_time_is_expected_on_the_lines_between_all_that_was_measured() -> None:
    points = (LEAST, CostPoint("", 2e9, 14.0), CostPoint("", 3e9, 13.0), MOST)
    assert goal_of_time(8.0, points, "this machine") == pytest.approx(1.5e9)
    assert goal_of_time(16.5, points, "this machine") == pytest.approx(3.5e9)
    assert goal_of_time(13.5, points, "this machine") > 3e9, "the dearest that keeps it"


def test_a_time_that_measurements_do_not_tell_from_the_least_is_that_of_the_cheapest() -> None:
    with pytest.warns(UserWarning, match="a budget of 1.81 ms is what the smallest takes, within 10%: 2 ms"):
        goal = goal_of_time(1.81, (LEAST, MOST), "this machine")
    tried: list[float] = []
    assert nearest_in_time(1.81, goal, LEAST, MOST, lambda target: (tried.append(target), 2.1)) is None
    assert tried == [goal] == [LEAST.macs], "none is faster"


@pytest.mark.parametrize("first", [9.6, 10.0, 10.4])
@pytest.mark.parametrize("second", [9.6, 10.0, 10.4])
def test_a_named_least_time_is_legal_at_the_next_measurement(first: float, second: float) -> None:
    """Whoever asks for the time that a refusal names is not refused because the machine was a little slower then."""
    with pytest.raises(UserError, match=f"the smallest takes {first:.4g} ms"):
        goal_of_time(5.0, (CostPoint("the smallest", 1e9, first), MOST), "this machine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert goal_of_time(first, (CostPoint("the smallest", 1e9, second), MOST), "this machine") < 2.5e9


@pytest.mark.parametrize("wanted", [2.1, 5.0, 11.0, 19.5])
def test_a_time_is_closed_in_on_from_both_sides(wanted: float) -> None:
    """On a bent curve of time over multiply-adds that goes through both ends."""
    tried: list[float] = []

    def trial(target: float) -> tuple[float, float]:
        tried.append(target)
        return target, 2.0 + 18.0 * ((target - 1e9) / 3e9) ** 2

    chosen = nearest_in_time(wanted, goal_of_time(wanted, (LEAST, MOST), "this machine"), LEAST, MOST, trial)
    assert chosen in tried
    assert len(tried) <= ROUNDS
    assert trial(chosen)[1] == pytest.approx(wanted, rel=0.01)


def test_the_nearest_trial_counts_where_none_is_near() -> None:
    steps = nearest_in_time(10.0, 2.5e9, LEAST, MOST, lambda target: (target, 9.0 if target < 2e9 else 12.0))
    assert steps < 2e9
