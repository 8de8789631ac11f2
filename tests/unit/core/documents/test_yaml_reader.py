"""The reader of YAML: bounds, keys, and words that YAML changes."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
import yaml

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import UnreadableError, parse_yaml, read_yaml_mapping

CONFIGS = sorted((Path(__file__).parents[4] / "configs").rglob("*.yaml"))
SECONDS = 10.0
"""Far more than the longest takes, far less than what does not end."""


def bomb(letters: str = "abcdefghi") -> str:
    """Lists of nine aliases of lists of nine aliases: 3.4e9 values in 400 characters."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in itertools.pairwise(letters):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines)


REFUSED = {
    bomb(): "line 5: the document has more than 50000 values, aliases counted",
    "a: &a [*a]": "alias *a stands inside",
    "&a {b: *a}": "alias *a stands inside",
    "a: &x {b: [1, {c: *x}]}": "alias *x stands inside",
    "[" * 10**5: "nested more than 40 deep",
    "{a: " * 10**5: "nested more than 40 deep",
    "- " * 10**5: "nested more than 40 deep",
    "? " * 10**5: "nested more than 40 deep",
    "[" + "x," * 10**5: "more than 50000 values",
    "x" * 1_000_001: "longer than 1000000 characters",
    "a: 1\nb: 2\na: 3": "line 3: the key 'a' stands here and in line 1: keep one",
    "a: {b: 1, b: 2}": "the key 'b' of 'a' stands here and in line 1",
    "on: 3": "line 1: YAML reads the key 'on' as true: quote it ('on')",
    "a: {no: 3}": "YAML reads the key 'no' of 'a' as false: quote it ('no')",
    "~: 3": "YAML reads the key '~' as nothing: quote it",
    "[a]: 3": "a list or mapping cannot be a key",
    "a:\n  [no, yes, maybe]": "line 2: a: YAML reads no as false and yes as true: quote names ('no' and",
    "a: [x, Off]": "YAML reads Off as false",
    "a: !!python/object/apply:os.system ['x']": "the tag '!!python/object/apply:os.system' is not taken",
    "a: !!python/name:os.system": "is not taken",
    "a: !own x": "the tag '!own' is not taken",
    "!!set {a}": "the tag '!!set' is not taken",
    "a: !!binary aGk=": "the tag '!!binary' is not taken",
    "a: !!timestamp 2020-01-01": "is not taken",
    "!!int ''": "is not what its tag says",
    "!!bool x": "is not what its tag says",
    "a: " + "9" * 10**5: "too large",
    "a: 0x" + "f" * 10**5: "beyond 64 bits",
    "a: 99999999999999999999": "beyond 64 bits",
    'a: "\\ud800"': "holds a character that no file can hold",
    'a: "x\\0"': "holds a character that no file can hold",
    "a: 1\nb: \x01": "line 2: the character '\\x01' is not allowed",
    "a: b: c": "line 1: mapping values are not allowed here",
    "a:\n\t- b": "line 2: a tab stands where YAML takes none",
    "a: 1\n---\nb: 2": "line 2: but found another document",
    "a: *b": "found undefined alias",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_refused_at_once_with_its_line(text: str, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(UnreadableError) as refusal:
        parse_yaml(text)
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 300
    assert time.monotonic() - start < SECONDS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_our_configs_are_read_as_before(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert parse_yaml(text) == yaml.safe_load(text)


TAKEN = {
    "": None,
    "a: {1: x, 2: y, 0.5: z}": {"a": {1: "x", 2: "y", 0.5: "z"}},
    "a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]": {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]},
    "a: [true, FALSE, 'no', \"on\"]": {"a": [True, False, "no", "on"]},
    "a: off": {"a": False},
    "a: 2020-01-01\nb: 12:30\nc: 1:30.5": {"a": "2020-01-01", "b": "12:30", "c": "1:30.5"},
    "a: [0x10, 010, 1_000, -3, 0b11, 08]": {"a": [16, 8, 1000, -3, 3, "08"]},
    "a: [1.5, .5, 1.e+3, -.inf]": {"a": [1.5, 0.5, 1000.0, float("-inf")]},
    "a: !!str 5\nb: !!int '7'\nc: ! x": {"a": "5", "b": 7, "c": "x"},
    'a: "caf\\udce9"': {"a": "caf\udce9"},
    "a: ${HOME}": {"a": "${HOME}"},
    "a: '{{ 7 * 7 }}'": {"a": "{{ 7 * 7 }}"},
    f"a: {2**64 - 1}": {"a": 2**64 - 1},
}


@pytest.mark.parametrize(("text", "value"), TAKEN.items(), ids=range(len(TAKEN)))
def test_what_is_taken(text: str, value: object) -> None:
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "must be a mapping of keys to values, but holds a list"),
        ("", "holds nothing"),
        ("a word", "holds a text"),
        ("3: x\n'3': y", "holds the key '3' more than once"),
    ],
)
def test_files_hold_mappings(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_yaml_mapping(path, "config")


def test_an_endless_file_is_not_read_whole() -> None:
    with pytest.raises(UserError, match="larger than 1 MB"):
        read_yaml_mapping("/dev/zero", "config")


def test_paths_with_zero_bytes_are_refused() -> None:
    with pytest.raises(UserError, match="cannot read config 'a"):
        read_yaml_mapping("a\0b", "config")


@pytest.mark.parametrize(
    ("text", "line", "colour"),
    [
        ("map: {#804080: back}\nx: 1\n", 1, "#804080"),
        ("map: {\n #804080: back,\n b: c}\nx: 1", 2, "#804080"),
        ("map: {'#000000': a, #FFffff: b}\n", 1, "#FFffff"),
        ("invalid: [#000000, #ffffff]\nb: 2\n", 1, "#000000"),
        ("invalid: [\n  #000000\n]", 2, "#000000"),
        ("invalid: #000000\nb: 2", 1, "#000000"),
        ("invalid:\n- #000000 \n", 2, "#000000"),
        ("map:\n  '#804080': back\n  #102030: lid\nb: 2", 3, "#102030"),
    ],
)
def test_a_colour_without_quotes_is_no_comment(text: str, line: int, colour: str) -> None:
    with pytest.raises(UnreadableError) as refusal:
        parse_yaml(text)
    assert str(refusal.value) == f"line {line}: a # begins a comment in YAML: quote the colour ('{colour}')"


@pytest.mark.parametrize(
    "text",
    [
        "a: b # 804080\n",
        "a: b #804080\n",
        "#202401\na: b",
        "#8040801: x\na: b",
        "a: b # see {#804080: x}",
        "# map: {#804080: x}\na: b",
        "a: # map, #804080: x\n  b",
        "a: # of - #804080\n  b",
    ],
)
def test_comments_are_passed_over(text: str) -> None:
    assert parse_yaml(text) == {"a": "b"}


def test_colours_in_quotes_are_texts() -> None:
    assert parse_yaml("a: '#804080'\nb: 'x, #804080: y'\nc: |\n  #804080: y\n") == {
        "a": "#804080",
        "b": "x, #804080: y",
        "c": "#804080: y\n",
    }


@pytest.mark.parametrize(
    ("text", "line"), [("a:\n\tb: 1", 2), ("a: b\n\tc: d\n", 2), ("a: {\n\tb: 1}", 2), ("a:\t1", 1)]
)
def test_a_tab_is_answered_with_spaces(text: str, line: int) -> None:
    with pytest.raises(UnreadableError, match=f"^line {line}: a tab stands where YAML takes none: indent with spaces$"):
        parse_yaml(text)
