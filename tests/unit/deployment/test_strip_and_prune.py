"""Removal of passive, unread and unused modules."""

from __future__ import annotations

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from frugalmtl.deployment.observe import observe
from frugalmtl.deployment.prune import Unread, prune_dead
from frugalmtl.deployment.strip import strip_passive, strip_unused


class Forked(nn.Module):
    """Three branches of which two are returned; the third is written through a view or not at all."""

    def __init__(self, through_view: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.second = nn.Linear(4, 4)
        self.third = nn.Linear(4, 2)
        self.through_view = through_view

    def forward(self, values: Tensor) -> list[Tensor]:
        branches = [self.first(values), self.second(values), self.third(values)]
        if self.through_view:
            branches[0][:, :2].add_(branches[2])
        return branches[:2]


def test_passive_modules_leave_sequentials_and_become_identities_elsewhere() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Identity(), nn.ReLU())
            self.path = DropPath(0.3)

        def forward(self, values: Tensor) -> Tensor:
            return values + self.path(self.body(values))

    block = Block().eval()
    values = torch.randn(3, 2)
    before = block(values)
    strip_passive(block, observe(block, values))
    assert [type(part) for part in block.body] == [nn.Linear, nn.ReLU]
    assert type(block.path) is nn.Identity
    assert torch.equal(block(values), before)


def test_a_sequential_that_its_owner_goes_through_keeps_its_length() -> None:
    """RepGhost adds the outputs of pairs out of two lists, the first of which holds identities."""

    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Sequential(nn.Identity()), nn.Sequential(nn.BatchNorm1d(2))

        def forward(self, values: Tensor) -> Tensor:
            return values + sum(norm(path(values)) for path, norm in zip(self.first, self.second, strict=False))

    pairs = Pairs().eval()
    values = torch.randn(3, 2)
    before = pairs(values)
    strip_passive(pairs, observe(pairs, values))
    strip_unused(pairs, observe(pairs, values))
    assert torch.equal(pairs(values), before)


def test_what_a_module_remembers_does_not_hide_who_reads_its_parameters() -> None:
    """Position biases that LeViT keeps by device while it is in eval mode."""

    class Remembering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.randn(2))
            self.remembered: dict[str, Tensor] = {}

        def forward(self, values: Tensor) -> Tensor:
            return values + self.remembered.setdefault("cpu", 2 * self.bias)

    module = Remembering().eval()
    values = torch.randn(3, 2)
    before = module(values)
    strip_unused(module, observe(module, values))
    module.remembered.clear()
    assert torch.equal(module(values), before)


def test_unread_parameters_go_and_their_modules_too() -> None:
    module = nn.Module()
    module.used, module.spare = nn.Linear(2, 2), nn.BatchNorm1d(2)
    module.register_buffer("note", torch.zeros(1))
    module.forward = lambda values: torch.nn.functional.linear(values, module.used.weight)  # type: ignore[method-assign]
    strip_unused(module, observe(module, torch.randn(1, 2)))
    assert list(module.state_dict()) == ["used.weight"]
    assert type(module.spare) is nn.Identity


def test_a_branch_that_nobody_reads_is_not_run() -> None:
    module, values = Forked(through_view=False), torch.randn(3, 4)
    before = module(values)
    prune_dead(module, observe(module, values))
    assert type(module.third) is Unread
    assert type(module.first) is nn.Sequential
    for old, new in zip(before, module(values), strict=True):
        assert torch.equal(old, new)


def test_a_branch_that_is_written_through_a_view_is_run() -> None:
    module, values = Forked(through_view=True), torch.randn(3, 4)
    before = module(values)
    prune_dead(module, observe(module, values))
    assert type(module.third) is nn.Linear
    for old, new in zip(before, module(values), strict=True):
        assert torch.equal(old, new)


def test_a_dead_module_that_a_dead_operation_reads_is_kept() -> None:
    class Summed(Forked):
        def forward(self, values: Tensor) -> list[Tensor]:
            wide = self.third(values)
            _ = wide + torch.zeros(2)  # would fail on the argument, which has 4 columns
            return [self.first(values)]

    module, values = Summed(through_view=False), torch.randn(3, 4)
    prune_dead(module, observe(module, values))
    assert type(module.third) is nn.Linear
    assert type(module.second) is nn.Linear
    module(values)


def test_observation_leaves_no_hook() -> None:
    module = nn.Sequential(nn.Linear(2, 2))
    observe(module, torch.randn(1, 2))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
