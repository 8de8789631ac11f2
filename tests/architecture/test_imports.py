"""Order of the imports between packages, and names of task kinds outside tasks and dataset declarations."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from frugalmtl.tasks import TASKS
from tests.architecture._sources import PACKAGE, nodes_of, place_of, python_files

PACKAGES = (
    "core layers tasks data backbones channels encoders decoders model losses balancing engine evaluation deployment "
    "export report experiment cli"
).split()
EXPERIMENT = "config runs measure comparison predict".split()
"""Sub-folders of ``experiment``, lowest first."""
FILES = python_files(PACKAGE)


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Dotted names of what a file imports from frugalmtl, down to the imported name, with the statements."""
    for node in nodes_of(path):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from ((name, node) for name in names if name.startswith("frugalmtl."))


def test_every_file_is_in_a_known_room() -> None:
    assert {package_of(path) for path in FILES} <= {*PACKAGES, "__init__", "__main__"}


def test_imports_go_down_the_list_only() -> None:
    offences = [
        f"{place_of(path, node)}: {package_of(path)} may not import {name}"
        for path in FILES
        if package_of(path) in PACKAGES
        for name, node in imported_modules(path)
        if (other := name.split(".")[1]) in PACKAGES and PACKAGES.index(other) > PACKAGES.index(package_of(path))
    ]
    assert offences == []


def test_folders_of_experiment_import_themselves_and_lower_ones() -> None:
    offences = [
        f"{place_of(path, node)}: {path.parent.name}/ may not import {name}"
        for path in sorted((PACKAGE / "experiment").glob("*/*.py"))
        for name, node in imported_modules(path)
        if name.startswith("frugalmtl.experiment.")
        and name.split(".")[2] not in EXPERIMENT[: EXPERIMENT.index(path.parent.name) + 1]
    ]
    assert offences == []


def test_experiment_has_no_other_folder() -> None:
    assert {path.name for path in (PACKAGE / "experiment").iterdir() if (path / "__init__.py").exists()} == {
        *EXPERIMENT
    }


def docstrings_of(path: Path) -> set[int]:
    """Identities of the constants that are docstrings."""
    return {
        id(node.body[0].value)
        for node in nodes_of(path)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def test_only_tasks_and_datasets_name_tasks() -> None:
    kinds = set(TASKS.names())
    offences = []
    for path in FILES:
        if package_of(path) in {"tasks", "data"}:
            continue
        docstrings = docstrings_of(path)
        offences += [
            f"{place_of(path, node)} names the task kind {node.value!r}"
            for node in nodes_of(path)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
            and node.value in kinds
        ]
    assert offences == []


def test_user_input_is_not_checked_by_assert() -> None:
    asserts = [place_of(path, node) for path in FILES for node in nodes_of(path) if isinstance(node, ast.Assert)]
    assert asserts == [], "raise UserError (the user's mistake) or an exception (ours) instead"
