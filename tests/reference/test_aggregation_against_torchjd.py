"""Gradient weighting against the aggregators of torchjd, which start from the gradients themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torchjd.aggregation as torchjd
from torch import Tensor
from torchjd.linalg import QuadprogProjector

from tests.support.balancing.jacobians import DEGENERATE, REGULAR, Array, build, direction, lengths


@dataclass
class Case:
    """A balancer, the aggregator that it should equal, and how closely (of the longest gradient)."""

    section: dict[str, object]
    reference: Callable[[int], Callable[[Tensor], Tensor]]
    tolerance: float = 1e-9
    except_for: tuple[str, ...] = ()


FAR_APART = ("one much longer", "one much shorter")
CASES = {
    "pcgrad": Case({"name": "pcgrad"}, lambda count: torchjd.PCGrad()),
    # Frank-Wolfe converges slowly; how far theirs is from the optimum is bounded below.
    "mgda": Case({"name": "mgda"}, lambda count: torchjd.MGDA(epsilon=1e-9, max_iters=1500), 0.02),
    # Their interior-point solver's tolerance; and they give nothing where the hull comes near to zero.
    "cagrad": Case(
        {"name": "cagrad", "rescale": "none"},
        lambda count: torchjd.CAGrad(c=0.4, norm_eps=1e-9),
        1e-4,
        (*FAR_APART, "one zero"),
    ),
    "cagrad, wide": Case(
        {"name": "cagrad", "rescale": "none", "c": 0.8},
        lambda count: torchjd.CAGrad(c=0.8, norm_eps=1e-9),
        1e-4,
        (*FAR_APART, "one zero"),
    ),
    "imtl_g": Case({"name": "imtl_g"}, lambda count: torchjd.IMTLG()),
    # There, small eigenvalues are lost in rounding; ours are checked against the SVD of the gradients.
    **{
        f"aligned_mtl, {mode}": Case(
            {"name": "aligned_mtl", "scale_mode": mode},
            lambda count, mode=mode: torchjd.AlignedMTL(scale_mode=mode),  # type: ignore[misc]
            except_for=FAR_APART,
        )
        for mode in ("min", "median", "rmse")
    },
    "upgrad": Case(
        {"name": "upgrad"}, lambda count: torchjd.UPGrad(projector=QuadprogProjector(reg_eps=1e-9)), 1e-6, FAR_APART
    ),
}


def check(case: Case, gradients: Array) -> None:
    torch.manual_seed(0)
    actual = direction(build(case.section, len(gradients)), gradients)
    torch.manual_seed(0)
    expected = case.reference(len(gradients))(torch.from_numpy(gradients)).numpy()
    longest = max(float(lengths(gradients).max()), float(np.linalg.norm(expected)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=case.tolerance * longest)


@pytest.mark.parametrize("name", CASES)
def test_directions_equal(name: str) -> None:
    for gradients in REGULAR:
        check(CASES[name], gradients)


@pytest.mark.parametrize("gradients", DEGENERATE)
@pytest.mark.parametrize("name", CASES)
def test_directions_equal_for_gradients_that_depend_on_each_other(name: str, gradients: str) -> None:
    if gradients in CASES[name].except_for:
        pytest.skip("the reference has no answer here")
    check(CASES[name], DEGENERATE[gradients])


def test_frank_wolfe_comes_no_lower() -> None:
    for gradients in REGULAR:
        ours = direction(build({"name": "mgda"}, len(gradients)), gradients)
        theirs = torchjd.MGDA(epsilon=1e-5, max_iters=250)(torch.from_numpy(gradients)).numpy()
        assert np.linalg.norm(ours) <= np.linalg.norm(theirs) * (1 + 1e-9)


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem that is not DPP")
@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_bargains_equal_where_the_reference_finds_one(max_norm: float | None) -> None:
    compared = 0
    for gradients in REGULAR:
        aggregator = torchjd.NashMTL(n_tasks=len(gradients), max_norm=max_norm or 0.0)
        expected = aggregator(torch.from_numpy(gradients)).numpy()
        weights = np.asarray(aggregator.weighting.prvs_alpha)
        if np.abs(weights * (gradients @ gradients.T @ weights) - 1.0).max() > 1e-3:
            continue  # its convex programs failed
        compared += 1
        actual = direction(build({"name": "nash_mtl", "max_norm": max_norm}, len(gradients)), gradients)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-3 * float(np.linalg.norm(expected)))
    assert compared >= 12
