"""Gates under the published settings of NYUD-v2 and ResNet-50: how far lambda_s and tau move them in one training."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from frugalmtl.encoders.interrogate.assembly import channel_weighting
from frugalmtl.encoders.interrogate.gates import Gates, Places
from frugalmtl.encoders.interrogate.sparsity import penalty_scale, private_shares, sparsity
from frugalmtl.experiment.config.files import read_yaml

ROW = read_yaml("configs/paper/interrogate_nyud_resnet50.yaml")["rows"]["interrogate"]["encoder"]
TASKS = ("segmentation", "depth", "normals")
PLACES = Places.of([512] * 49, [1] * 49)
"""A ResNet-50 has 49 sites, of 464 channels on average and 512 in the median."""
STEPS = 100 * 795 // 4
"""100 epochs of 795 images, four a step."""
AT_ONCE = 100
"""Steps that are taken as one: a step moves a gate by some 1e-5."""
LEAST = 0.01
"""The least lambda_s of the paper's sweep."""
PULL_OF_TASKS = 71 * LEAST / (3 * 49 * 512)
"""Median slope of the tasks' losses over the sigmoid of a gate: 71 times that of the mean over channels at LEAST."""


def own_shares(lambda_s: float, tau: list[float], **options: object) -> list[float]:
    """Share of its channels that each task keeps at the end."""
    settings = {**ROW, **options}
    gates, reduction = Gates(len(TASKS), PLACES, settings["initial"]), settings["reduction"]
    weighting = channel_weighting(PLACES, torch.ones(PLACES.gates), "layers", reduction)
    optimizer = torch.optim.SGD([gates.alpha], lr=settings["gate_lr"] * AT_ONCE)
    towards = torch.randn(gates.alpha.shape, generator=torch.Generator().manual_seed(0)) / 0.6745  # a median of 1
    for _ in range(STEPS // AT_ONCE):
        optimizer.zero_grad()
        soft = gates.soft()
        penalty = lambda_s * sparsity(soft, weighting, torch.tensor(tau), penalty_scale(PLACES, reduction))
        (penalty + PULL_OF_TASKS * (towards * soft).sum()).backward()
        optimizer.step()
    shares = private_shares(gates.scores().detach(), weighting, TASKS)
    return [shares[f"own.{task}"].item() for task in TASKS]


def test_the_range_of_lambda_spans_what_tasks_keep() -> None:
    kept = [own_shares(value, [0.0] * 3)[0] for value in (0.01, 0.03, 0.05, 0.1)]
    assert kept[0] > 0.95
    assert all(one >= other for one, other in pairwise(kept))
    assert 0.2 < kept[1] < 0.8, "between the ends the tasks decide"
    assert kept[-1] < 0.05


@pytest.mark.parametrize("lambda_s", [0.05, 0.1])
def test_tau_tells_tasks_that_keep_their_channels_from_tasks_that_share(lambda_s: float) -> None:
    assert own_shares(lambda_s, [0.25, 0.0, 0.75]) == pytest.approx([0.0, 0.0, 1.0], abs=0.05)
    assert own_shares(lambda_s, [0.0, 1.0, 0.25]) == pytest.approx([0.0, 1.0, 0.0], abs=0.05)


@pytest.mark.parametrize(
    "options", [{"reduction": "mean"}, {"reduction": "sum", "initial": 3.0}], ids=["mean", "far from the threshold"]
)
def test_readings_under_which_lambda_does_nothing(options: dict[str, object]) -> None:
    least, largest = (own_shares(value, [0.0] * 3, **options)[0] for value in (0.01, 0.1))
    assert least == pytest.approx(largest, abs=0.01)
