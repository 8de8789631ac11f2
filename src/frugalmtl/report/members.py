"""Folders as registries: a file holds a member, and the member says its place."""

from __future__ import annotations

import importlib
import pkgutil
from typing import ClassVar, TypeVar


class Member:
    """A section or a kind of picture: a class with facts and no state.

    Attributes:
        order: members stand in ascending order.
    """

    order: ClassVar[int]

    @property
    def name(self) -> str:
        """The name of the member's file."""
        return type(self).__module__.rpartition(".")[2]


M = TypeVar("M", bound=Member)


def members(package: str, kind: type[M]) -> list[M]:
    """Every class of ``kind`` that a file of ``package`` defines, by order; files that define none are no members."""
    folder = importlib.import_module(package)
    modules = [importlib.import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(folder.__path__)]
    classes = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, kind) and value.__module__ == module.__name__
    ]
    return sorted((value() for value in classes if value is not kind), key=lambda member: (member.order, member.name))
