"""The argument ``--device`` of every benchmark, and the one caption that names machine and instruction sets."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture._sources import REPOSITORY, nodes_of, python_files, text_of

SCRIPTS = [path for path in python_files(REPOSITORY / "benchmarks") if "ArgumentParser(" in text_of(path)]
WITHOUT_TABLE = ("toy_fronts.py", "growth.py")
"""They draw or count, which no machine changes."""


def called(path: Path) -> set[str]:
    """Names of the functions that a script calls."""
    return {node.func.id for node in nodes_of(path) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_benchmarks_take_a_device(path: Path) -> None:
    assert "add_device" in called(path)
    assert called(path) & {"chosen_device", "refuse_cuda"}, "the device is neither used nor refused"


@pytest.mark.parametrize(
    "path", [path for path in SCRIPTS if path.name not in WITHOUT_TABLE], ids=lambda path: path.stem
)
def test_captions_come_from_one_place(path: Path) -> None:
    assert "caption" in called(path)
    assert not called(path) & {"hardware", "environment"}
