"""Warnings of the library's logger, each of them one line."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warns_in_one_line(match: str) -> Iterator[None]:
    """The block logs exactly one warning, of one line, that matches."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[method-assign]  # a handler is its emit
    logger = logging.getLogger("frugalmtl")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
    messages = [record.getMessage() for record in records]
    assert len(messages) == 1, messages
    assert re.search(match, messages[0]), messages
    assert "\n" not in messages[0]
