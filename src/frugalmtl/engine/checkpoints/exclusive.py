"""Exclusive use of a run's folder by one training, whatever the number of its processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lightning_fabric import Fabric

from frugalmtl.core.checks import UserError
from frugalmtl.core.disk.locks import hold
from frugalmtl.core.distributed import gather


@contextmanager
def exclusive(folder: Path, fabric: Fabric) -> Iterator[None]:
    """Hold a folder for the block: the first process holds it, and a refusal is raised in all of them.

    Raises:
        UserError: a process of another training holds it.
    """
    with ExitStack() as stack:
        refusal: str | None = None
        if fabric.is_global_zero:
            try:
                stack.enter_context(hold(folder))
            except UserError as error:
                refusal = str(error)
        refusal = gather(refusal)[0]
        if refusal is not None:
            raise UserError(refusal)
        yield
