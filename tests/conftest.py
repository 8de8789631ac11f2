"""Shared settings of all tests: one thread per process (two run side by side), fixed seeds, no network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from frugalmtl.core.seeding import seed_everything
from tests.support.members.adding import add_members

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    seed_everything(0)


def _scramble_norms(module: nn.Module) -> None:
    """Give every batch normalisation statistics and weights of its own: folding cannot pass by doing nothing."""
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            nn.init.normal_(norm.running_mean, std=0.3)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.3)


@pytest.fixture(scope="session")
def scramble_norms() -> Callable[[nn.Module], None]:
    """A function that gives every batch normalisation of a module random statistics and weights."""
    return _scramble_norms


@pytest.fixture(scope="module")
def toy_members() -> Iterator[None]:
    """The members of ``tests/support/members``, in the registries for the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        add_members(patch)
        yield
