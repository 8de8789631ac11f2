"""Decoding: each step against NumPy and SciPy, and its plain form."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import special

from frugalmtl.core.checks import UserError
from frugalmtl.tasks._decoding import Decoding, Step

RAW = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 3
EXPECTED = {
    "argmax": lambda raw: raw.argmax(1),
    "sigmoid": special.expit,
    "exp": np.exp,
    "softplus": lambda raw: np.logaddexp(0.0, raw),
    "clip": lambda raw: np.clip(raw, -1.0, 2.0),
    "unit_vectors": lambda raw: raw / np.linalg.norm(raw, axis=1, keepdims=True),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_step_against_numpy(name: str) -> None:
    step = Step(name, -1.0, 2.0) if name == "clip" else Step(name)
    decoded = Decoding((step,), "metres")(RAW)
    np.testing.assert_allclose(decoded.numpy(), EXPECTED[name](RAW.numpy()), rtol=1e-5, atol=1e-6)


def test_steps_follow_each_other_in_float32_and_are_plain_values() -> None:
    decoding = Decoding((Step("exp"), Step("clip", low=0.5)), "metres")
    decoded = decoding(RAW.half())
    assert decoded.dtype == torch.float32
    torch.testing.assert_close(decoded, RAW.half().float().exp().clamp(min=0.5))
    assert json.loads(json.dumps(decoding.record())) == [{"step": "exp"}, {"step": "clip", "low": 0.5}]


def test_a_step_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="Did you mean 'argmax'"):
        Step("argmx")
