"""Names of methods: none in the report, which shows what its results hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frugalmtl import report
from frugalmtl.experiment import REGISTRIES

FOLDER = Path(report.__file__).parent
FILES = sorted(path for path in FOLDER.rglob("*") if path.suffix in (".py", ".html", ".js"))
WORDS = ("fixed", "uniform", "independent", "uncertainty")
"""Members whose names are words of plain English."""
NAMES = [
    name
    for package in ("encoders", "decoders", "balancing")
    for name in REGISTRIES[package].names()
    if name not in WORDS
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_method_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(NAMES) > 20
    names = [name for name in NAMES if re.search(rf"\b{name.replace('_', '[ _-]?')}\b", text, re.IGNORECASE)]
    assert names == []
    quoted = [word for word in WORDS if re.search(rf"""["']{word}["']""", text)]
    assert quoted == []
