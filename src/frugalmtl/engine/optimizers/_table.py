"""Registry of a table: members that are looked up, beside those that have a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from frugalmtl.core.registry import Registry


class TableRegistry(Registry):
    """The members of a table, and those that files of the package add to them.

    Args:
        package: dotted name of the package; a file in it is a member, and comes before one of the table.
        what: the word for one member, used in messages.
        table: makes ``{name: function}``; called when a member is first asked for.
    """

    def __init__(self, package: str, what: str, table: Callable[[], Mapping[str, Callable[..., Any]]]) -> None:
        super().__init__(package, what)
        self._table = table

    @cached_property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """``{name: function}`` of the members that have no file."""
        return self._table()

    def names(self) -> list[str]:
        """Names of all members, sorted."""
        return sorted({*self.table, *super().names()})

    def get(self, name: str) -> Callable[..., Any]:
        """The class or function called ``name``.

        Raises:
            UserError: no such member; the message lists the known ones.
        """
        return self.table[name] if name in self.table and name not in super().names() else super().get(name)
