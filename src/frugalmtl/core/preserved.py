"""Parameters that get their values back after a trial."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor


@contextlib.contextmanager
def preserved(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Whatever happens to the parameters inside, they are bit for bit as before afterwards.

    Yields:
        Copies of the values they had.
    """
    values = [parameter.detach().clone() for parameter in parameters]
    try:
        yield values
    finally:
        for parameter, value in zip(parameters, values, strict=True):
            parameter.data.copy_(value)
