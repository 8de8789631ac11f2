"""Task groups: between single-task networks and hard sharing, which are their two ends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.encoders import ENCODERS, Encoder
from frugalmtl.evaluation.cost import count
from tests.support.channels import CIFAR, backbone

NAMES = ("near", "far", "edge")


def build(name: str = "task_groups", **options: object) -> Encoder:
    encoder: Encoder = ENCODERS.build({"name": name, **options}, backbone(CIFAR), NAMES)
    return encoder.eval()


def image() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("groups", "same"),
    [(None, "hard_sharing"), ([list(NAMES)], "hard_sharing"), ([[name] for name in NAMES], "single_task")],
)
def test_the_ends_are_hard_sharing_and_single_task_networks(groups: list[list[str]] | None, same: str) -> None:
    grouped, plain = build(groups=groups), build(same)
    assert [p.numel() for p in grouped.parameters()] == [p.numel() for p in plain.parameters()]
    plain.load_state_dict(dict(zip(plain.state_dict(), grouped.state_dict().values(), strict=True)))
    for task in NAMES:
        for left, right in zip(grouped(image()).by_task[task], plain(image()).by_task[task], strict=True):
            torch.testing.assert_close(left, right)


def test_tasks_of_a_group_read_one_pyramid_and_groups_share_nothing() -> None:
    encoder = build(groups=[["edge", "near"], ["far"]])
    pyramids = encoder(image()).by_task
    assert list(pyramids) == list(NAMES)
    torch.testing.assert_close(pyramids["near"], pyramids["edge"])
    pyramids["far"][0].sum().backward()
    reached = {name.split(".")[1] for name, p in encoder.named_parameters() if p.grad is not None}
    assert reached == {"1"}


def test_a_group_of_which_nothing_is_wanted_or_read_is_not_run() -> None:
    encoder = build(groups=[["edge", "near"], ["far"]])
    alone = encoder.encode(image(), ("far",))
    assert len(alone) == len(encoder.channels)
    assert list(encoder.branch(alone, ("far",)).by_task) == ["far"]
    encoder.read_levels = {"near": (0,), "edge": (), "far": ()}
    deployed = encoder.deploy()
    assert list(deployed(image())) == ["near"]
    assert count(deployed, (32, 32)).params == count(build("hard_sharing").deploy(), (32, 32)).params


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["near"], ["far"]], "groups must hold every task once, but 'edge' is in 0"),
        ([["near", "far"], ["far", "edge"]], "but 'far' is in 2"),
        ([["near", "fa"], ["edge"]], r"task in groups.*'fa'.*Did you mean 'far'"),
        ([["near", "far", "edge"], []], "groups has an empty group: leave it out"),
    ],
)
def test_groups_that_are_no_partition_are_refused(groups: list[list[str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(groups=groups)
