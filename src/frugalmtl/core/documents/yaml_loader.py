"""YAML -> plain values: no objects, no key twice, no word that YAML changes where a name is meant, within bounds."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from frugalmtl.core.checks import shown

DEPTH = 40
"""Levels of nesting; a config has eight at most."""
VALUES = 50_000
"""Values of a document, where one that is used again by an alias counts again."""
_PREFIX = "tag:yaml.org,2002:"
_PLAIN = {_PREFIX + kind for kind in ("str", "int", "float", "bool", "null", "seq", "map")}
_MERGE = _PREFIX + "merge"
_RULES = {
    _PREFIX + "int": re.compile(r"[-+]?(0b[0-1_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    _PREFIX + "float": re.compile(
        r"([-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
}
"""YAML 1.1's numbers as PyYAML has them, without those to the base of 60."""
_COLOUR = re.compile(r"^ *(#[0-9a-fA-F]{6})[ \t]*(?:([:,\]}])|$)", flags=re.MULTILINE)
"""A comment that is a colour, and the sign after it."""
_LEAST, _GREATEST = -(2**63), 2**64 - 1


class UnreadableError(ValueError):
    """A document that is not taken, and the place in it."""


class PlainLoader(yaml.SafeLoader):
    """PyYAML's reader of scalars, sequences and mappings, without everything else.

    Dates and times of day (``12:30`` is 750 in YAML 1.1) stay texts. ``no``, ``off``, ``yes`` and ``on`` are false and
    true as YAML 1.1 has it, but neither as keys nor as items of a list, where names are meant.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._count = 0
        self._sizes: dict[int, int] = {}
        self._path: list[str] = []

    def scan_to_next_token(self) -> None:
        """Pass over blanks and comments; a comment that is a colour was meant as a key or value.

        Raises:
            UnreadableError: it is one.
        """
        reader: Any = self  # PyYAML's stubs lack what is used here
        start = reader.pointer
        super().scan_to_next_token()  # type: ignore[misc, no-untyped-call, unused-ignore]  # the same
        passed = reader.buffer[start : reader.pointer]
        for colour in _COLOUR.finditer(passed) if "#" in passed else ():
            place = start + colour.start(1)
            before = reader.buffer[reader.buffer.rfind("\n", 0, place) + 1 : place].rstrip()
            if before[-1:] in tuple(":-{[,") or (not before and (reader.flow_level or colour[2] == ":")):
                line = reader.buffer.count("\n", 0, place) + 1
                raise UnreadableError(f"line {line}: a # begins a comment in YAML: quote the colour ('{colour[1]}')")

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """The next node, counted; an alias counts as much as what it stands for.

        Raises:
            UnreadableError: too deep, too much, or a value that contains itself.
        """
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs lack it
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise _at(event, f"the alias *{event.anchor} stands inside of what it is an alias of: write it out")
            self._add(self._sizes[id(node)], event)
            return node
        self._depth += 1
        if self._depth > DEPTH:
            raise _at(event, f"values are nested more than {DEPTH} deep: take fewer levels")
        before = self._count
        self._add(1, event)
        key: Any = index  # of a list an index, of a mapping the node of the key; nothing at the top and for keys
        self._path.append(key.value if isinstance(key, ScalarNode) else "" if key is None else f"[{key}]")
        node = super().compose_node(parent, index)
        self._path.pop()
        self._depth -= 1
        self._sizes[id(node)] = self._count - before
        return node

    def _add(self, count: int, event: Any) -> None:
        self._count += count
        if self._count > VALUES:
            raise _at(event, f"the document has more than {VALUES} values, aliases counted: take fewer")

    def compose_sequence_node(self, anchor: Any) -> SequenceNode:
        """A list whose items are not words that YAML changes.

        Raises:
            UnreadableError: one is.
        """
        node: SequenceNode = super().compose_sequence_node(anchor)
        words = {item.value: self.construct_object(item) for item in node.value if _changed(item)}
        if words:
            read = " and ".join(f"{word} as {'true' if value else 'false'}" for word, value in words.items())
            quoted = " and ".join(f"'{word}'" for word in words)
            here = self._place() or "a list"
            raise _at(node, f"{here}: YAML reads {read}: quote names ({quoted}), or write true and false")
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        """A mapping whose keys are texts or numbers, each once.

        Raises:
            UnreadableError: another key, or one given twice.
        """
        node: MappingNode = super().compose_mapping_node(anchor)
        lines: dict[Hashable, int] = {}
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            value = self._key(key)
            if value in lines:
                first = lines[value]
                raise _at(key, f"the key {shown(value)}{self._inside()} stands here and in line {first}: keep one")
            lines[value] = key.start_mark.line + 1
        return node

    def _key(self, node: Node) -> str | int | float:
        value = self.construct_object(node) if isinstance(node, ScalarNode) else None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return value
        if not isinstance(node, ScalarNode):
            raise _at(node, "a list or mapping cannot be a key: write a text")
        read = "nothing" if value is None else str(value).lower()
        quoted = f"quote it ('{node.value or 'name'}')"
        raise _at(node, f"YAML reads the key {shown(node.value)}{self._inside()} as {read}: {quoted}")

    def _place(self) -> str:
        """The keys that lead to the value which is being read."""
        return ".".join(key for key in self._path if key).replace(".[", "[")[:200]

    def _inside(self) -> str:
        return f" of '{self._place()}'" if self._place() else ""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """The value of a node.

        Raises:
            UnreadableError: a tag that makes an object, a number beyond 64 bits, or a text that no file can hold.
        """
        if node.tag not in _PLAIN:
            raise _at(node, f"the tag {shown(node.tag.replace(_PREFIX, '!!'))} is not taken: write plain values")
        try:
            value = super().construct_object(node, deep)
        except UnreadableError:
            raise
        except (ValueError, OverflowError, LookupError):
            raise _at(node, f"{shown(getattr(node, 'value', ''))} is not what its tag says, or too large") from None
        if isinstance(value, int) and not _LEAST <= value <= _GREATEST:
            raise _at(node, f"the number {shown(node.value)} is beyond 64 bits: write a smaller one")
        if isinstance(value, str) and not storable(value):
            raise _at(node, f"the text {shown(value)} holds a character that no file can hold: remove it")
        return value


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's rules of which plain words are numbers and the like, without dates and times of day."""
    return {
        first: [
            (tag, _RULES.get(tag, pattern))
            for tag, pattern in rules
            if tag not in (_PREFIX + "timestamp", _PREFIX + "value")
        ]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


PlainLoader.yaml_implicit_resolvers = _resolvers()


def storable(text: str) -> bool:
    """Whether a text can stand in a file and in a path: no zero byte, no half of a character.

    Bytes of a file's name that are no UTF-8 travel as U+DC80 to U+DCFF in Python; they can.
    """
    return not any(item == "\0" or "\ud800" <= item < "\udc80" or "\udcff" < item <= "\udfff" for item in text)


def _changed(node: Node) -> bool:
    """Whether a plain word was taken for true or false although it is neither of them."""
    boolean = isinstance(node, ScalarNode) and node.tag == _PREFIX + "bool"
    return boolean and node.value.lower() not in ("true", "false")


def _at(place: Any, message: str) -> UnreadableError:
    return UnreadableError(f"line {place.start_mark.line + 1}: {message}")
