"""Shared settings of all tests: one thread per process (two run side by side), fixed seeds, no network."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

from frugalmtl.core.seeding import seed_everything

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    seed_everything(0)
