"""The reader of JSON: damaged files are one line, whatever is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import UnreadableError, parse_json, read_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: Expecting value"),
        ('{"a": 1}\n}', "line 2: Extra data"),
        ("[" * 10**5, "nested too deep"),
        ('{"a": ' * 10**5, "nested too deep"),
        ("[" * 101 + "]" * 101, "nested too deep"),
        ("9" * 10**5, "a number is too long"),
        (b"\xff\xfe\xfd", "not text in UTF-8"),
    ],
    ids=range(7),
)
def test_what_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        parse_json(text)


@pytest.mark.parametrize("text", ["[1]", "{", "[" * 10**5, '"a"'], ids=range(4))
def test_a_damaged_file_is_one_line_with_the_remedy(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"^scores .*scores\.json is damaged \(.*\): evaluate again$"):
        read_json(path, "scores", remedy="evaluate again")


def test_nesting_within_the_bound() -> None:
    assert parse_json("[" * 100 + "]" * 100)


def test_a_sound_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text('{"a": [1, null]}', encoding="utf-8")
    assert read_json(path, "scores", remedy="evaluate again") == {"a": [1, None]}
