"""The measures of the house: sizes of files, folders, classes and constructors; headers that name; names used once."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import frugalmtl

SOURCE = Path(frugalmtl.__file__).parents[1]
REPOSITORY = SOURCE.parent
PACKAGES = [SOURCE / "frugalmtl", SOURCE / "frugalmtl_rooms"]
CODE = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))
BENCHMARKS = sorted((REPOSITORY / "benchmarks").rglob("*.py"))
FILES = [*CODE, *TESTS, *BENCHMARKS]
FOLDERS = sorted({path.parent for path in FILES})

LINES, FOLDER_FILES, METHODS, ARGUMENTS = 400, 12, 15, 8
RIDDLE = re.compile(r"(what|who|whose|which|where|when|why|how|is|are|does|do|can)\b", re.IGNORECASE)
ORIGINS = {"found", "own", "made", "given", "told"}
"""Names that say where a value came from and not what it is."""


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def classes_of(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef))


def methods_of(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [item for item in node.body if isinstance(item, ast.FunctionDef)]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_holds_one_idea(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LINES, f"{lines} lines: split it by idea"


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_can_be_read_at_a_glance(folder: Path) -> None:
    files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= FOLDER_FILES, f"{len(files)} files: make sub-packages by idea"


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_classes_stay_small(path: Path) -> None:
    for node in classes_of(path):
        methods = methods_of(node)
        assert len(methods) <= METHODS, f"{node.name} has {len(methods)} methods: split it"
        for method in methods:
            count = len(method.args.args) + len(method.args.kwonlyargs) - 1
            if method.name == "__init__":
                assert count <= ARGUMENTS, f"{node.name} takes {count} arguments: group them in a dataclass"


@pytest.mark.parametrize("path", [path for path in FILES if path.read_text(encoding="utf-8").strip()], ids=name_of)
def test_the_header_names_the_thing(path: Path) -> None:
    header = (ast.get_docstring(tree_of(path)) or "").split("\n", 1)[0]
    assert header, "the module has no docstring"
    assert not RIDDLE.match(header), f"{header!r} asks or riddles: begin with a noun phrase that names the thing"
    assert not header.rstrip(".").endswith("?")


def test_public_classes_have_names_of_their_own() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in CODE:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name_of(path))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_variables_name_their_content(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        names = []
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names = [node.id]
        elif isinstance(node, ast.arguments):  # keyword-only arguments are config keys, which users have written down
            names = [argument.arg for argument in (*node.posonlyargs, *node.args)]
        for name in ORIGINS.intersection(names):
            raise AssertionError(f"{name_of(path)} calls a value {name!r}: name what it is, not where it came from")
