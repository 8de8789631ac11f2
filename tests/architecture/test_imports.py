"""Order of the imports between packages, and names of task kinds outside tasks and dataset declarations."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import frugalmtl
from frugalmtl.tasks import TASKS

SOURCE = Path(frugalmtl.__file__).parent
PACKAGES = (
    "core layers tasks data backbones channels encoders decoders model losses balancing engine evaluation deployment "
    "export report experiment cli"
).split()
EXPERIMENT = "config runs measure comparison predict".split()
"""Sub-folders of ``experiment``, lowest first."""
FILES = sorted(SOURCE.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names of what a file imports from frugalmtl, down to the imported name, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from ((name, node.lineno) for name in names if name.startswith("frugalmtl."))


def imported_packages(path: Path) -> Iterator[tuple[str, int]]:
    yield from ((name.split(".")[1], line) for name, line in imported_modules(path))


def test_every_file_is_in_a_known_room() -> None:
    assert {package_of(path) for path in FILES} <= {*PACKAGES, "__init__", "__main__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_the_list_only(path: Path) -> None:
    package = package_of(path)
    if package not in PACKAGES:
        return
    for other, line in imported_packages(path):
        if other in PACKAGES:
            assert PACKAGES.index(other) <= PACKAGES.index(package), f"{path}:{line}: {package} may not import {other}"


@pytest.mark.parametrize("path", sorted((SOURCE / "experiment").glob("*/*.py")), ids=lambda path: path.stem)
def test_folders_of_experiment_import_themselves_and_lower_ones(path: Path) -> None:
    allowed = EXPERIMENT[: EXPERIMENT.index(path.parent.name) + 1]
    for name, line in imported_modules(path):
        if name.startswith("frugalmtl.experiment."):
            folder = name.split(".")[2]
            assert folder in allowed, f"{path}:{line}: {path.parent.name}/ may not import {folder}/"


def test_experiment_has_no_other_folder() -> None:
    assert {path.name for path in (SOURCE / "experiment").iterdir() if (path / "__init__.py").exists()} == {*EXPERIMENT}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_tasks_and_datasets_name_tasks(path: Path) -> None:
    if package_of(path) in {"tasks", "data"}:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    kinds = set(TASKS.names())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            assert node.value not in kinds, f"{path}:{node.lineno} names the task kind {node.value!r}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_user_input_is_not_checked_by_assert(path: Path) -> None:
    asserts = [
        node.lineno for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Assert)
    ]
    assert not asserts, f"{path}:{asserts}: raise UserError (the user's mistake) or an exception (ours) instead"
