"""Registry of balancers: the members of several rooms under one roof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from frugalmtl.core.checks import known
from frugalmtl.core.registry import Registry


class BalancerRegistry(Registry):
    """The members of several rooms under one roof.

    Args:
        package: the room's package; each of ``rooms`` is a package inside it.
        what: the word for one member.
        rooms: dotted names of the inner packages; one may lie in another.
    """

    def __init__(self, package: str, what: str, rooms: Sequence[str]) -> None:
        super().__init__(package, what)
        inner = [room.rpartition(".") for room in rooms]
        self.rooms = [
            Registry(f"{package}.{room}", what, apart=tuple(name for outer, _, name in inner if outer == room))
            for room in rooms
        ]

    def names(self) -> list[str]:
        """Names of the members of all rooms, sorted."""
        return sorted(name for room in self.rooms for name in room.names())

    def get(self, name: str) -> Callable[..., Any]:
        """The member called ``name``, whichever room holds it.

        Raises:
            UserError: no such member; the message lists the known ones.
        """
        known(self.what, name, self.names())
        return next(room for room in self.rooms if name in room.names()).get(name)
