"""A folder is a registry: the file's name is the member's name, the constructor's signature is its config schema.

A member of room ``encoders`` called ``cross_stitch`` is the public class or function of ``encoders/cross_stitch.py``
whose
name, lower-cased and without underscores, equals the file's. Its positional parameters are handed over by the wiring
code;
its **keyword-only parameters are the config**: a section ``{name: cross_stitch, own: 0.8}`` is checked against them,
names
and types, before anything is built.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonargparse import ArgumentParser

from frugalmtl.core.checks import UserError, known

SpecLike = str | Mapping[str, Any]


@dataclass(frozen=True)
class Spec:
    """The choice of one member of a room: its name and its keyword arguments."""

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
        raise UserError(f"{what} must be a name or a mapping with a key 'name', but got {value!r}")

    def as_dict(self) -> dict[str, Any]:
        """The plain mapping that :meth:`of` reads back."""
        return {"name": self.name, **self.args}


class Registry:
    """The members of one room.

    Args:
        package: dotted name of the room's package, e.g. ``"frugalmtl.encoders"``.
        what: the room's word for one member, used in messages (``"encoder"``).
        apart: folders of the package that are rooms of their own, not members.
    """

    def __init__(self, package: str, what: str, *, apart: tuple[str, ...] = ()) -> None:
        self.package = package
        self.what = what
        self.apart = apart

    def names(self) -> list[str]:
        """Names of all members, sorted. Files that start with ``_`` and ``base.py`` are not members."""
        package = importlib.import_module(self.package)
        found = (module.name for module in pkgutil.iter_modules(package.__path__))
        return sorted(name for name in found if not name.startswith("_") and name not in ("base", *self.apart))

    def get(self, name: str) -> Callable[..., Any]:
        """The class or function called ``name``.

        Raises:
            UserError: no such member; the message lists the known ones.
        """
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

    def schema(self, name: str) -> dict[str, inspect.Parameter]:
        """The member's keyword-only parameters: its config keys."""
        parameters = inspect.signature(self.get(name)).parameters
        return {key: item for key, item in parameters.items() if item.kind is inspect.Parameter.KEYWORD_ONLY}

    def check(self, value: SpecLike | Spec) -> Spec:
        """Check a section's name, keys and types without building it, and return it with parsed values.

        Raises:
            UserError: unknown name or key, missing or ill-typed value.
        """
        spec = Spec.of(self.what, value)
        member, schema = self.get(spec.name), self.schema(spec.name)
        return Spec(spec.name, check_arguments(f"{self.what} {spec.name!r}", member, schema, spec.args))

    def build(self, value: SpecLike | Spec, *injected: Any) -> Any:
        """Check the section and call the member with ``injected`` positionally and the section's keys by keyword."""
        spec = self.check(value)
        return self.get(spec.name)(*injected, **spec.args)


def check_arguments(
    what: str, member: Callable[..., Any], schema: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Check a section's keys and types against a signature, and return the given ones as the types ask for them.

    Args:
        what: the section in messages.
        member: the class or function.
        schema: those of its parameters that the section may set.
        arguments: the section's keys and values.

    Raises:
        UserError: unknown key, missing or ill-typed value.
    """
    for key in arguments:
        known(f"argument of {what}:", str(key), schema)
    missing = [key for key, item in schema.items() if item.default is item.empty and key not in arguments]
    if missing:
        raise UserError(f"{what} needs {', '.join(missing)}: add it to its section")
    if not schema:
        return {}
    parser = ArgumentParser(exit_on_error=False)
    skip: set[str | int] = {key for key in inspect.signature(member).parameters if key not in schema}
    if inspect.isclass(member):
        parser.add_class_arguments(member, skip=skip)
    else:
        parser.add_function_arguments(member, skip=skip)
    try:
        parsed = parser.parse_object(dict(arguments))
    except Exception as error:  # jsonargparse raises several kinds; each means that a value does not fit
        reason = " ".join(str(error).split())
        culprit = re.search(r'key "([^".]+)', reason)
        key = culprit.group(1) if culprit and culprit.group(1) in schema else ""
        expected = f"{key} must be {_type_name(schema[key])}, but got {arguments.get(key)!r}" if key else reason
        raise UserError(f"{what}: {expected}") from None
    return {key: parsed[key] for key in arguments}


def _type_name(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
