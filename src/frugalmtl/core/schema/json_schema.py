"""JSON Schema (draft 2020-12) of typed configs, written by msgspec: a section is a choice of members and their
options."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec

from frugalmtl.core.registry import Registry
from frugalmtl.core.schema import Parameters, parameters, replace_types
from frugalmtl.core.schema.docs import documentation, plain

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Keys:
    """Annotation of a free mapping: keys of a typed config, none of them required.

    Attributes:
        kind: the typed config.
        more: further keys and their types.
    """

    kind: type
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Members:
    """Annotation of a free mapping: a section whose member another key than ``name`` names.

    Attributes:
        registry: its members.
        key: the key that names the member.
        more: further keys of every member, and their types.
        types: types of options that the config states in another way than the member takes them.
        instead: dataclasses that may stand in place of a member.
    """

    registry: Registry
    key: str = "name"
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)
    types: Mapping[str, Any] = field(default_factory=dict, hash=False)
    instead: tuple[type, ...] = ()


def json_schema(title: str, kinds: Sequence[type]) -> dict[str, Any]:
    """The schema of files that hold one of several typed configs.

    Args:
        title: of the schema.
        kinds: the typed configs.
    """
    writer = _Writer()
    roots = [writer.kind(kind, partial=False) for kind in kinds]
    # The structs of members are only named by references; they get into the definitions by being listed.
    schemas, definitions = msgspec.json.schema_components(
        [*roots, *writer.structs.values()], ref_template="#/$defs/{name}"
    )
    choice = {"anyOf": list(schemas[: len(roots)])}
    return cast(dict[str, Any], _constants({"$schema": DRAFT, "title": title, **choice, "$defs": definitions}))


class _Writer:
    """Types that msgspec can describe, made from typed configs and the members of registries."""

    def __init__(self) -> None:
        self.structs: dict[str, type[msgspec.Struct]] = {}

    def kind(self, kind: Any, *, partial: bool) -> Any:
        """The type to describe in place of ``kind``.

        Args:
            kind: any type of a config's key.
            partial: sections are merged into others: their name may be missing.
        """
        return replace_types(kind, lambda part: self._replacement(part, partial))

    def _replacement(self, part: Any, partial: bool) -> Any:
        if is_dataclass(part):
            return self._dataclass(cast(type, part), {}, partial)
        for item in getattr(part, "__metadata__", ()):
            if isinstance(item, msgspec.Meta):
                return part
            if isinstance(item, Keys):
                return self._dataclass(item.kind, item.more, partial=True)
            if isinstance(item, Registry | Members):
                members = item if isinstance(item, Members) else Members(item)
                return self._section(members, str in _alternatives(get_args(part)[0]), partial)
        return None

    def _dataclass(self, kind: type, more: Mapping[str, Any], partial: bool) -> Any:
        accepted = parameters(kind, positional=True)
        return self._struct("Part" * partial + kind.__name__ + "Row" * bool(more), kind, accepted, more, partial)

    def _section(self, members: Members, text: bool, partial: bool) -> Any:
        registry, choices = members.registry, list[Any]()
        for name in registry.names():
            title = f"{registry.what}.{name}".replace(" ", "_")
            accepted = registry.schema(name)
            accepted |= {
                key: accepted[key].replace(annotation=kind) for key, kind in members.types.items() if key in accepted
            }
            more = {key: kind for key, kind in members.more.items() if key not in accepted}
            choices.append(
                self._struct(title, registry.get(name), accepted, {members.key: Literal[name], **more}, False)
            )
        choices += [self._dataclass(kind, {}, partial=False) for kind in members.instead]
        schemas: list[dict[str, Any]] = [{"$ref": f"#/$defs/{choice.__name__}"} for choice in choices]
        if text:
            schemas.append({"type": "string"} if members.instead else {"enum": registry.names()})
        if partial:
            options = sorted({key for choice in choices for key in choice.__struct_fields__})
            unnamed = {"not": {"required": [members.key]}, "propertyNames": {"enum": options}}
            schemas.append({"type": "object", **unnamed})
        return Annotated[Any, msgspec.Meta(extra_json_schema={"anyOf": schemas})]

    def _struct(self, title: str, member: Any, accepted: Parameters, more: Mapping[str, Any], partial: bool) -> Any:
        if title not in self.structs:
            docs = documentation(member)
            keys: list[Any] = [
                (name, kind) if get_origin(kind) is Literal else (name, kind, None) for name, kind in more.items()
            ]
            for name, parameter in accepted.items():
                meta = msgspec.Meta(description=plain(docs.parameters.get(name, "")))
                typed: Any = Annotated[self.kind(parameter.annotation, partial=partial), meta]
                required = parameter.default is parameter.empty and not partial
                keys.append((name, typed) if required else (name, typed, _default(parameter.default)))
            described = msgspec.defstruct(title, keys, kw_only=True, forbid_unknown_fields=True)
            described.__doc__ = plain(docs.summary)
            self.structs[title] = described
        return self.structs[title]


def _default(value: Any) -> Any:
    """A default as a struct takes it; those that are containers or objects are made anew, and the schema leaves them
    out."""
    return value if isinstance(value, str | int | float | bool | None) else msgspec.field(default_factory=lambda: value)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _constants(schema: Any) -> Any:
    """A choice of one value written as ``const``, and no default null where a key is merely absent."""
    if isinstance(schema, Mapping):
        changed = {key: _constants(item) for key, item in schema.items()}
        if isinstance(changed.get("enum"), list) and len(changed["enum"]) == 1:
            changed["const"] = changed.pop("enum")[0]
        return changed
    return [_constants(item) for item in schema] if isinstance(schema, list | tuple) else schema
