"""Text for a terminal: nothing in it steers the terminal or is taken for markup."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.core.terminal import tolerant_output, visible, without_markup

HOSTILE = (
    "[/bold]",
    "[bold",
    "[link=file:///etc/passwd]x[/link]",
    "[@click=app.quit]x",
    "ends with \\",
    "\\[red]",
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\u202egnp.exe",
    "\udce9.jpg",
    "a\nb\rc",
    "\x9b31m",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_rich_prints_every_text_literally(text: str) -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    console.print(f"[bold]{without_markup(text)}[/bold] after")
    assert console.file.getvalue() == f"{visible(text)} after\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_visible_is_printable_and_stays_so(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_messages_of_mistakes_are_one_printable_line(text: str) -> None:
    assert str(UserError(f"x {text} y")).isprintable()
    with pytest.raises(UserError) as refusal:
        known("thing", text * 1000, ["a thing"])
    assert len(str(refusal.value)) < 200


def test_long_messages_keep_their_beginning_and_end() -> None:
    message = str(UserError("given " + "x " * 10_000 + "and do this"))
    assert message.startswith("given x")
    assert message.endswith("and do this")
    assert len(message) < 1100


@pytest.mark.parametrize("value", ["x" * 10**6, 10**9999, [["a"] * 100] * 100, {"k": "v" * 500}, b"\0" * 500], ids=type)
def test_values_are_shown_shortly(value: object) -> None:
    assert len(shown(value)) <= 60


def test_endless_values_are_shown() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert shown(endless) == "[[[[...]]]]"
    deep: list[object] = []
    for _ in range(10**5):
        deep = [deep]
    assert len(shown(deep)) <= 60


def test_what_the_terminal_cannot_encode_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    tolerant_output()
    print("größe \udce9")
    sys.stdout.flush()
    assert written.getvalue() == b"gr\\xf6\\xdfe \\udce9\n"
