"""preserved: values come back bit for bit."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.core.preserved import preserved


def test_values_come_back_also_after_an_error() -> None:
    parameters = [torch.nn.Parameter(torch.tensor([0.1, -3.0])), torch.nn.Parameter(torch.tensor(1e-30))]
    values = [parameter.detach().clone() for parameter in parameters]

    def trial() -> None:
        with preserved(parameters) as copies:
            for parameter in parameters:
                parameter.data.mul_(7).add_(1)
            assert all(torch.equal(copy, value) for copy, value in zip(copies, values, strict=True))
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        trial()
    assert all(torch.equal(parameter, value) for parameter, value in zip(parameters, values, strict=True))
