"""Typed reading: plain values -> objects, by the types in the signatures of classes and functions.

Values come from YAML, JSON and flags. They are converted by msgspec: it knows no way from a text to an import or a
call, loads in milliseconds, and writes JSON Schemas of the same types. Pydantic would do as well; it loads ten times as
long, and reads lists as tuples and mappings as dataclasses only where it is not strict.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from frugalmtl.core.checks import UserError, known, shown

Kind = TypeVar("Kind")
Parameters = dict[str, inspect.Parameter]
Readers = Mapping[type, Callable[[Any], Any]]
"""Types that are read in another way than msgspec's: ``{float: function}``; the function raises ``ValueError`` for what
it does not take."""
NO_READERS: Readers = types.MappingProxyType({})

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    tuple: "a list",
    Sequence: "a list",
    dict: "a mapping",
}
_PLURALS = {str: "texts", int: "whole numbers", float: "numbers"}


def parameters(member: Callable[..., Any], *, positional: bool = False) -> Parameters:
    """The parameters that a config may set, types resolved; those of base classes too where ``**options`` hands them
    on.

    Args:
        member: a class, function or dataclass.
        positional: take all parameters, not the keyword-only ones alone.

    >>> class Base:
    ...     def __init__(self, tasks, *, weight: float = 1.0): ...
    >>> class Member(Base):
    ...     def __init__(self, tasks, *, own: float, **options: Any): ...
    >>> list(parameters(Member))
    ['own', 'weight']
    """
    accepted: Parameters = {}
    for function in _constructors(member):
        hints = get_type_hints(member if is_dataclass(member) else function, include_extras=True)
        signature = inspect.signature(function).parameters.values()
        for item in signature:
            wanted = item.kind is item.KEYWORD_ONLY or (positional and item.kind is item.POSITIONAL_OR_KEYWORD)
            if wanted and item.name != "self" and item.name not in accepted:
                accepted[item.name] = item.replace(annotation=hints.get(item.name, Any), default=_default(member, item))
        if not any(item.kind is item.VAR_KEYWORD for item in signature):
            break
    return accepted


def _constructors(member: Callable[..., Any]) -> list[Callable[..., Any]]:
    if not inspect.isclass(member):
        return [member]
    return [vars(kind)["__init__"] for kind in member.__mro__ if "__init__" in vars(kind) and kind is not object]


def _default(member: Callable[..., Any], item: inspect.Parameter) -> Any:
    """A parameter's default; that of a dataclass's field made by a factory is what the factory makes.

    A field that is a dataclass itself is not made: its keys have defaults of their own, and checking them takes long.
    """
    factories = {one.name: one.default_factory for one in fields(member)} if is_dataclass(member) else {}
    factory = factories.get(item.name, MISSING)
    return item.default if factory is MISSING or is_dataclass(factory) else factory()


def read(kind: type[Kind], value: Any, where: str, *, place: str = "", readers: Readers = NO_READERS) -> Kind:
    """Read a plain value as ``kind``: a scalar, ``Literal``, container, union or dataclass, nested as needed.

    A dataclass is read from a mapping of its fields; no key may be unknown or lacking. ``Any`` takes the value as it
    is. A number may be written as a text, as YAML 1.1 takes ``1e-3`` for one.

    Args:
        kind: the type.
        value: the plain value.
        where: the file or section, in messages.
        place: the way to the value inside ``where``, in messages.
        readers: types that are read in another way.

    Raises:
        UserError: the value does not fit; the message names the place, what must stand there and what does.
    """
    try:
        converted = _convert(kind, value, readers)
    except msgspec.ValidationError:
        raise _complaint(kind, value, where, place, readers) from None
    try:
        return cast(Kind, _finish(converted, place))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def fits(kind: Any, value: Any) -> bool:
    """Whether a plain value can be read as ``kind``, apart from what dataclasses check themselves."""
    try:
        _convert(kind, value, NO_READERS)
    except msgspec.ValidationError:
        return False
    return True


def read_arguments(what: str, accepted: Parameters, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Read a section's arguments by the parameters it may set; those that are not given stay away.

    Args:
        what: the section in messages.
        accepted: the parameters.
        arguments: keys and values of the section.

    Raises:
        UserError: an unknown key, a missing one, or a value that does not fit.
    """
    for key in arguments:
        if not accepted:
            raise UserError(f"{what} has no options, but got {shown(str(key))}: remove it, or name another member")
        known(f"argument of {what}:", str(key), accepted)
    missing = [key for key, item in accepted.items() if item.default is item.empty and key not in arguments]
    if missing:
        raise UserError(f"{what} needs {', '.join(missing)}: add it to its section")
    return {key: read(accepted[key].annotation, value, what, place=key) for key, value in arguments.items()}


def replace_types(kind: Any, replacement: Callable[[Any], Any]) -> Any:
    """A type with parts of it replaced: by ``replacement(part)`` wherever that is not None; other annotations go."""
    replaced = replacement(kind)
    if replaced is not None:
        return replaced
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return replace_types(inner[0], replacement)
    if origin is Literal or not inner:
        return kind
    changed = tuple(item if item is Ellipsis else replace_types(item, replacement) for item in inner)
    return Union[changed] if origin in (Union, types.UnionType) else origin[changed]  # noqa: UP007 (made at run time)


def _convert(kind: Any, value: Any, readers: Readers) -> Any:
    shadow = _shadow(kind, tuple(readers.items()))
    try:
        return msgspec.convert(value, shadow, strict=False, dec_hook=lambda target, item: target.read(item))
    except UnicodeEncodeError:  # bytes of a file's name where a number, a word or a key must stand
        raise msgspec.ValidationError("not a text in Unicode") from None


@functools.cache
def _shadow(kind: Any, readers: tuple[tuple[type, Callable[[Any], Any]], ...]) -> Any:
    """The type that msgspec converts to in place of ``kind``: dataclasses become structs that refuse unknown keys."""

    def replacement(part: Any) -> Any:
        for target, reader in readers:
            if part is target:
                return _Foreign("Foreign", (), {"read": staticmethod(reader)})
        if not is_dataclass(part):
            return None
        accepted = parameters(cast(type, part), positional=True)
        inner = {name: _shadow(item.annotation, readers) for name, item in accepted.items()}
        keys = [
            (name, inner[name]) if item.default is item.empty else (name, inner[name], msgspec.UNSET)
            for name, item in accepted.items()
        ]
        name = getattr(part, "__name__", "Struct")
        return msgspec.defstruct(name, keys, namespace={"of": part}, kw_only=True, forbid_unknown_fields=True)

    return replace_types(kind, replacement)


class _Foreign(type):
    """A type that msgspec does not know and leaves to its reader, whatever that returns."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


def _finish(value: Any, place: str) -> Any:
    """Dataclasses made from the structs inside a converted value; what they refuse is said with its place."""
    if isinstance(value, msgspec.Struct):
        values = {name: getattr(value, name) for name in value.__struct_fields__}
        kind: Any = type(value).of  # type: ignore[attr-defined]  # every struct here is made by _shadow
        values = {name: _finish(item, _join(place, name)) for name, item in values.items() if item is not msgspec.UNSET}
        try:
            return kind(**values)
        except UserError as error:
            if not place or repr(place) in str(error):
                raise
            raise UserError(f"{place}: {error}") from None
    if isinstance(value, dict):
        return {key: _finish(item, _join(place, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_finish(item, f"{place}[{index}]") for index, item in enumerate(value))
    return value


def _complaint(kind: Any, value: Any, where: str, place: str, readers: Readers) -> UserError:
    """The mistake in a value that does not fit, at the innermost place at which it can be seen."""
    members = _members(kind)
    kind = _branch(kind, value)
    here = f"{where}: {place}" if place else where
    if is_dataclass(kind) and isinstance(value, Mapping):
        accepted = parameters(cast(type, kind), positional=True)
        for key in value:
            known(f"key in {here}:", str(key), accepted)
        lacking = [key for key, item in accepted.items() if item.default is item.empty and key not in value]
        if lacking:
            return UserError(f"{here} lacks {', '.join(lacking)}: add it")
        parts = [(accepted[key].annotation, item, _join(place, key)) for key, item in value.items()]
    else:
        parts = _items(kind, value, place)
    for part, item, inner in parts:
        try:
            _convert(part, item, readers)
        except msgspec.ValidationError:
            return _complaint(part, item, where, inner, readers)
    if _shape(kind) is dict and isinstance(value, Mapping) and get_args(kind):
        for key in value:
            if not fits(get_args(kind)[0], key):
                return _complaint(get_args(kind)[0], key, where, f"the key {shown(key)} of {place}", readers)
    remedy = _remedy(kind, value, members)
    return UserError(f"{here} must be {in_words(kind)}, but got {shown(value)}{remedy}")


def _remedy(kind: Any, value: Any, members: bool) -> str:
    """What to write instead, where that is plain from the value."""
    if members and isinstance(value, str):
        return f": write {{name: {value[:40]}}}"
    if (
        value is not None
        and not isinstance(value, bool | Mapping | list | tuple)
        and _WORDS[list] in _alternatives(kind)
    ):
        return f": write [{str(value)[:40]}]"
    if not isinstance(value, int | float) or not {_WORDS[str]} <= set(_alternatives(kind)) <= {_WORDS[str], "null"}:
        return ""
    if isinstance(value, bool):
        return f", as YAML reads {'yes, on and true' if value else 'no, off and false'}: quote the word that is meant"
    return f": quote it ({shown(str(value))})"


def _members(kind: Any) -> bool:
    """Whether the type is that of a section which names a member of a registry."""
    inner = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return any(hasattr(mark, "names") for item in inner for mark in getattr(item, "__metadata__", ()))


def _branch(kind: Any, value: Any) -> Any:
    """The type without annotations; of a union, the container of the value's shape if there is one."""
    if get_origin(kind) is Annotated:
        return _branch(get_args(kind)[0], value)
    if get_origin(kind) in (Union, types.UnionType):
        shape = dict if isinstance(value, Mapping) else list if isinstance(value, list | tuple) else None
        fitting = [item for item in get_args(kind) if shape is not None and _shape(item) is shape]
        return _branch(fitting[0], value) if len(fitting) == 1 else kind
    return kind


def _shape(kind: Any) -> type | None:
    origin = get_origin(kind) or kind
    if origin in (list, tuple, Sequence):
        return list
    return dict if origin is dict or is_dataclass(origin) else None


def _items(kind: Any, value: Any, place: str) -> list[tuple[Any, Any, str]]:
    """Type, value and place of the items of a list or mapping."""
    inner = get_args(kind)
    if _shape(kind) is dict and isinstance(value, Mapping) and inner:
        return [(inner[1], item, _join(place, key)) for key, item in value.items()]
    if _shape(kind) is list and isinstance(value, list | tuple) and inner:
        if get_origin(kind) is not tuple or inner[-1] is Ellipsis:
            inner = (inner[0],) * len(value)
        return [(part, item, f"{place}[{index}]") for index, (part, item) in enumerate(zip(inner, value, strict=False))]
    return []


def _join(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)


def in_words(kind: Any) -> str:
    """What a value of this type is, for a reader who knows YAML.

    >>> in_words(int | float | Literal["uniform", "size"] | None)
    "a number, 'uniform', 'size' or null"
    """
    words = list(dict.fromkeys(_alternatives(kind)))
    if _WORDS[float] in words and _WORDS[int] in words:
        words.remove(_WORDS[int])
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _alternatives(kind: Any) -> list[str]:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _alternatives(inner[0])
    if origin is Literal:
        return [repr(item) for item in inner]
    if origin in (Union, types.UnionType):
        return [word for item in inner for word in _alternatives(item)]
    if origin is tuple and inner[-1] is not Ellipsis:
        items = _PLURALS.get(inner[0], "") if len(set(inner)) == 1 else ""
        return [f"a list of {len(inner)} {items}".rstrip()]
    if kind is bool:
        return ["true", "false"]
    return [_WORDS.get(origin or kind, "a mapping" if is_dataclass(kind) else getattr(kind, "__name__", str(kind)))]
