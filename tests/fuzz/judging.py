"""Verdict on one input: a valid object, or one short line; no traceback, no hang, nothing executed or left behind."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from frugalmtl.core.checks import UserError

SECONDS = 120
"""Far more than an input takes, the first one's imports and a busy machine included."""
LONGEST = 700
"""Characters of a refusal, apart from the lists of known names in it."""


@contextmanager
def limited(seconds: int = SECONDS) -> Iterator[None]:
    """Raise ``TimeoutError`` in what takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def verdict(use: Callable[[], object]) -> str:
    """``"taken"``, ``"refused"``, or the fault."""
    try:
        with limited():
            use()
    except UserError as error:
        line = str(error)
        if not line.isprintable():
            return f"not one printable line: {line[:200]!r}"
        return "refused" if len(line) <= LONGEST else f"too long ({len(line)}): {line[:200]}"
    except TimeoutError as error:
        return f"hang: {error}"
    except Exception as error:  # the kinds of exceptions that must not be are all others
        return f"traceback: {type(error).__name__}: {error}"[:300]
    return "taken"


def judge(inputs: dict[str, Callable[[], object]], folder: Path) -> Counter[str]:
    """Counts of the verdicts; a fault of any input is an assertion's error that shows the first few.

    Args:
        inputs: by a name that makes the input again.
        folder: where nothing may appear.
    """
    before = sorted(folder.rglob("*"))
    verdicts = {name: verdict(use) for name, use in inputs.items()}
    faults = {name: text for name, text in verdicts.items() if text not in ("taken", "refused")}
    assert not faults, f"{len(faults)} of {len(inputs)}: {dict(list(faults.items())[:5])}"
    assert sorted(folder.rglob("*")) == before, "a payload was executed, or a file was left behind"
    return Counter(verdicts.values())
