"""Files of the repository as syntax trees, for rules that hold in every one of them.

A rule is one test that lists all offences: one test per file would take longer to set up than to run.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import frugalmtl

SOURCE = Path(frugalmtl.__file__).parents[1]
REPOSITORY = SOURCE.parent
PACKAGE = SOURCE / "frugalmtl"
ROOMS = SOURCE / "frugalmtl_rooms"


def python_files(*folders: Path) -> list[Path]:
    """All Python files under some folders, in order."""
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    if not files:
        raise FileNotFoundError(f"no Python file under {', '.join(map(str, folders))}")
    return files


@cache
def text_of(path: Path) -> str:
    """Text of a file, read once in a process."""
    return path.read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    """Syntax tree of a file, parsed once in a process."""
    return ast.parse(text_of(path))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's tree, outer ones first."""
    return tuple(ast.walk(tree_of(path)))


def place_of(path: Path, node: ast.AST | None = None) -> str:
    """Where an offence is: the path in the repository, and the line."""
    line = getattr(node, "lineno", None)
    return path.relative_to(REPOSITORY).as_posix() + (f":{line}" if line else "")
