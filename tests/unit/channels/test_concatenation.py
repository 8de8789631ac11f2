"""Concatenation at a site against plain indexing: values, gradients, gradients side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from frugalmtl.channels import Mask
from frugalmtl.channels.builder import in_site_order, site_order
from frugalmtl.channels.concatenation import ConcatenateSite, SiteLayout

CHANNELS = 7


def drawn(tasks: int, seed: int, *, ends: bool) -> Mask:
    """Random channels; with ``ends`` the first task keeps all and the last one none."""
    private = np.random.default_rng(seed).random((tasks, CHANNELS)) < 0.5
    if ends:
        private[0], private[-1] = True, False
    return private


class Site:
    """A site with random tensors, which hold their channels in the site's order."""

    def __init__(self, private: Mask, *, axis: int, mixes: bool) -> None:
        generator = torch.Generator().manual_seed(0)
        self.private, self.axis = private, axis
        self.order = tuple(site_order(private))
        self.layout = SiteLayout.of(self.order, private, range(len(private)), axis)
        self.stored = [in_site_order(self.order, mask) for mask in (~private.all(0), *private)]

        def tensor(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        widths = [len(channels) for channels in self.stored]
        shapes = [(2, width, 3, 5) if axis == 1 else (2, 3, 5, width) for width in widths]
        self.tensors = [tensor(*shape).requires_grad_() if 0 not in shape else None for shape in shapes]
        self.mix = tensor(len(private), CHANNELS).softmax(0).requires_grad_() if mixes else None

    @property
    def leaves(self) -> list[Tensor]:
        return [leaf for leaf in (*self.tensors, self.mix) if leaf is not None]

    def outputs(self) -> list[Tensor]:
        return list(ConcatenateSite(self.layout)(self.mix, *self.tensors))

    def plain(self) -> list[Tensor]:
        """The same channel by channel."""
        shared, *private = self.tensors

        def channel(branch: int, number: int) -> Tensor:
            kept = self.private[branch, number]
            source = private[branch] if kept else shared
            assert source is not None
            return source.select(self.axis, self.stored[branch + 1 if kept else 0].index(number))

        read = [
            torch.stack([channel(branch, number) for number in self.order], self.axis)
            for branch in range(len(self.private))
        ]
        joined = [read[branch] for branch in self.layout.joined]
        if self.mix is None:
            return joined
        shape = (-1, 1, 1) if self.axis == 1 else (-1,)
        terms = [tensor * share.reshape(shape) for tensor, share in zip(read, self.mix, strict=True)]
        return [*joined, torch.stack(terms).sum(0)]


CASES = [(tasks, seed, ends) for tasks in (1, 2, 3, 4) for seed in range(4) for ends in (False, True)]


@pytest.mark.parametrize("mixes", [True, False], ids=["mix", "no mix"])
@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize(("tasks", "seed", "ends"), CASES)
def test_values_and_gradients(tasks: int, seed: int, ends: bool, axis: int, mixes: bool) -> None:
    site = Site(drawn(tasks, seed, ends=ends), axis=axis, mixes=mixes)
    outputs, plain = site.outputs(), site.plain()
    for output, expected in zip(outputs, plain, strict=True):
        assert torch.allclose(output, expected, rtol=1e-12, atol=1e-12)
    for used in range(2 ** len(outputs)):  # some outputs may have no reader
        chosen = [index for index in range(len(outputs)) if used >> index & 1]
        gradients = []
        for values in (outputs, plain):
            loss = torch.stack([values[index].square().sum() for index in chosen]).sum() if chosen else None
            gradients.append(
                [None] * len(site.leaves)
                if loss is None
                else torch.autograd.grad(loss, site.leaves, allow_unused=True, retain_graph=True)
            )
        for computed, expected in zip(*gradients, strict=True):
            absent = computed is None or expected is None
            one, other = (torch.zeros(()) if value is None else value for value in (computed, expected))
            assert torch.allclose(one, other, rtol=1e-10, atol=1e-10) if not absent else not (one.any() or other.any())


@pytest.mark.parametrize("seed", range(3))
def test_gradients_side_by_side_are_those_one_by_one(seed: int) -> None:
    site = Site(drawn(3, seed, ends=False), axis=1, mixes=True)
    outputs = site.outputs()
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randn(4, *output.shape, generator=generator, dtype=torch.float64) for output in outputs]
    together = torch.autograd.grad(outputs, site.leaves, rows, is_grads_batched=True, retain_graph=True)
    for number in range(4):
        alone = torch.autograd.grad(outputs, site.leaves, [row[number] for row in rows], retain_graph=True)
        for one, other in zip(together, alone, strict=True):
            assert torch.allclose(one[number], other)
