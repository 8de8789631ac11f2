"""Parameters that are somewhere else for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor


@contextlib.contextmanager
def displaced(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Whatever happens to the parameters inside, they are bit for bit as before afterwards.

    Yields:
        The values they had.
    """
    kept = [parameter.detach().clone() for parameter in parameters]
    try:
        yield kept
    finally:
        for parameter, before in zip(parameters, kept, strict=True):
            parameter.data.copy_(before)
