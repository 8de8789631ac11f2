"""Seeds that do not depend on the order in which they are asked for."""

from __future__ import annotations

import random

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from integers and words, stable across processes, machines and Python versions.

    Data order and augmentation draw from ``derive_seed(run seed, epoch, sample)``, so a resumed run sees the same
    draws as
    an uninterrupted one whatever the number of workers.
    """
    words: list[int] = []
    for part in parts:
        data = part.encode() if isinstance(part, str) else int(part).to_bytes(16, "little", signed=True)
        words.extend(data)
        words.append(256 + len(data))  # parts cannot run into each other
    state = np.random.SeedSequence(words).generate_state(2, np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators (all devices)."""
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    torch.manual_seed(seed)
