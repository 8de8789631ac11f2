"""Registries: a folder's files are the members, the constructors' signatures are their config schemas.

A member of ``encoders`` called ``cross_stitch`` is the public class or function of ``encoders/cross_stitch.py`` whose
name, lower-cased and without underscores, equals the file's. Its positional parameters are handed over by the wiring
code; its **keyword-only parameters are the config**: a section ``{name: cross_stitch, own: 0.8}`` is checked against
them, names and types, before anything is built. A constructor that takes ``**options`` and hands them to its base class
has the keyword-only parameters of the base's constructor as well.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.core.schema import Parameters, parameters, read_arguments

SpecLike = str | Mapping[str, Any]


@dataclass(frozen=True)
class Spec:
    """The choice of one member of a registry: its name and its keyword arguments."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, what: str, value: SpecLike | Spec) -> Spec:
        """Read ``"name"`` or ``{"name": ..., argument: value}``.

        Raises:
            UserError: ``value`` is neither, or has no ``name``.
        """
        if isinstance(value, Spec):
            return value
        if isinstance(value, str):
            return cls(value)
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            return cls(value["name"], {str(key): item for key, item in value.items() if key != "name"})
        raise UserError(f"{what} must be a name or a mapping with a key 'name', but got {shown(value)}")

    def as_dict(self) -> dict[str, Any]:
        """The plain mapping that :meth:`of` reads back."""
        return {"name": self.name, **self.args}


class Registry:
    """The members of one package.

    Args:
        package: dotted name of the package, e.g. ``"frugalmtl.encoders"``.
        what: the word for one member, used in messages (``"encoder"``).
        apart: folders of the package that are rooms of their own, not members.
        elsewhere: ``{name: what to do instead}`` of names that users look for here in vain.
    """

    def __init__(
        self, package: str, what: str, *, apart: tuple[str, ...] = (), elsewhere: Mapping[str, str] | None = None
    ) -> None:
        self.package = package
        self.what = what
        self.apart = apart
        self.elsewhere = elsewhere or {}

    def names(self) -> list[str]:
        """Names of all members, sorted. Files that start with ``_`` and ``base.py`` are not members."""
        package = importlib.import_module(self.package)
        files = (module.name for module in pkgutil.iter_modules(package.__path__))
        return sorted(name for name in files if not name.startswith("_") and name not in ("base", *self.apart))

    def get(self, name: str) -> Callable[..., Any]:
        """The class or function called ``name``.

        Raises:
            UserError: no such member; the message lists the known ones, or says what to do instead.
        """
        if name in self.elsewhere:
            raise UserError(f"{self.what} {name!r} is none of {', '.join(self.names())}: {self.elsewhere[name]}")
        known(self.what, name, self.names())
        module = importlib.import_module(f"{self.package}.{name}")
        for attribute, value in vars(module).items():
            if attribute.lower().replace("_", "") == name.replace("_", "") and callable(value):
                member: Callable[..., Any] = value
                return member
        raise TypeError(f"{module.__name__} defines no class or function named like its file")

    def describe(self, name: str) -> str:
        """The first line of the member's docstring."""
        return (inspect.getdoc(self.get(name)) or "").split("\n", 1)[0]

    def fact(self, name: str, attribute: str, default: Any = None) -> Any:
        """A class attribute of a member; of a function, that of the class which its return annotation names.

        Args:
            name: of the member.
            attribute: of the class.
            default: where the class has no such attribute.
        """
        member = self.get(name)
        kind = member if inspect.isclass(member) else get_type_hints(member).get("return")
        return getattr(kind, attribute, default)

    def schema(self, name: str) -> Parameters:
        """The member's config keys: its keyword-only parameters, types resolved, those of its bases included."""
        return parameters(self.get(name))

    def check(self, value: SpecLike | Spec, *, what: str = "") -> Spec:
        """Check a section's name, keys and types without building it, and return it with parsed values.

        Args:
            value: the section.
            what: what it is in messages; its kind and name if not given.

        Raises:
            UserError: unknown name or key, missing or ill-typed value.
        """
        spec = Spec.of(self.what, value)
        what = what or f"{self.what} {spec.name!r}"
        return Spec(spec.name, read_arguments(what, self.schema(spec.name), spec.args))

    def build(self, value: SpecLike | Spec, *injected: Any, what: str = "") -> Any:
        """Check the section and call the member with ``injected`` positionally and the section's keys by keyword."""
        spec = self.check(value, what=what)
        return self.get(spec.name)(*injected, **spec.args)


class Collection(Registry):
    """Registry of the entries of a mapping: classes, or objects of one dataclass with settings of their own.

    Args:
        what: the word for one member, used in messages.
        members: the members by name.
    """

    def __init__(self, what: str, members: Mapping[str, Any]) -> None:
        super().__init__("", what)
        self.members = members

    def names(self) -> list[str]:
        """Names of all members, sorted."""
        return sorted(self.members)

    def get(self, name: str) -> Callable[..., Any]:
        """The class of the member called ``name``.

        Raises:
            UserError: no such member; the message lists the known ones.
        """
        member = self.members[known(self.what, name, self.members)]
        return member if inspect.isclass(member) else type(member)

    def describe(self, name: str) -> str:
        """The first line of a class's docstring; of an object, the settings that differ from the defaults."""
        if inspect.isclass(self.members[name]):
            return super().describe(name)
        default = parameters(self.get(name), positional=True)
        changed = {key: item.default for key, item in self.schema(name).items() if item.default != default[key].default}
        return ", ".join(f"{key} {value}" for key, value in changed.items())

    def schema(self, name: str) -> Parameters:
        """The fields of a class; of an object, with its own settings as defaults."""
        accepted = parameters(self.get(name), positional=True)
        if inspect.isclass(self.members[name]):
            return accepted
        return {key: item.replace(default=getattr(self.members[name], key)) for key, item in accepted.items()}
