"""The measures of the house: sizes of files, folders, classes and constructors; headers that name; names used once."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.architecture._sources import PACKAGE, REPOSITORY, ROOMS, nodes_of, place_of, python_files, text_of, tree_of

CODE = python_files(PACKAGE, ROOMS)
FILES = [*CODE, *python_files(REPOSITORY / "tests", REPOSITORY / "benchmarks")]

LINES, FOLDER_FILES, METHODS, ARGUMENTS = 400, 12, 15, 8
RIDDLE = re.compile(r"(what|who|whose|which|where|when|why|how|is|are|does|do|can)\b", re.IGNORECASE)
ORIGINS = {"found", "own", "made", "given", "told"}
"""Names that say where a value came from and not what it is."""


def classes() -> Iterator[tuple[Path, ast.ClassDef, list[ast.FunctionDef]]]:
    """Every class of the packages with its methods."""
    for path in CODE:
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                yield path, node, [item for item in node.body if isinstance(item, ast.FunctionDef)]


def test_a_file_holds_one_idea() -> None:
    long = {place_of(path): lines for path in FILES if (lines := text_of(path).count("\n")) > LINES}
    assert long == {}, "too many lines: split by idea"


def test_a_folder_can_be_read_at_a_glance() -> None:
    counts: dict[Path, int] = defaultdict(int)
    for path in FILES:
        counts[path.parent] += path.name != "__init__.py"
    full = {place_of(folder): count for folder, count in counts.items() if count > FOLDER_FILES}
    assert full == {}, "too many files: make sub-packages by idea"


def test_classes_stay_small() -> None:
    large = {
        f"{place_of(path, node)} {node.name}": len(methods)
        for path, node, methods in classes()
        if len(methods) > METHODS
    }
    assert large == {}, "too many methods: split the class"


def test_constructors_take_few_arguments() -> None:
    crowded = {}
    for path, node, methods in classes():
        for method in methods:
            count = len(method.args.args) + len(method.args.kwonlyargs) - 1
            if method.name == "__init__" and count > ARGUMENTS:
                crowded[f"{place_of(path, method)} {node.name}"] = count
    assert crowded == {}, "too many arguments: group them in a dataclass"


def test_the_header_names_the_thing() -> None:
    headers = {
        place_of(path): (ast.get_docstring(tree_of(path)) or "").split("\n", 1)[0]
        for path in FILES
        if text_of(path).strip()
    }
    assert [place for place, header in headers.items() if not header] == [], "modules without a docstring"
    riddles = {
        place: header for place, header in headers.items() if RIDDLE.match(header) or header.rstrip(".").endswith("?")
    }
    assert riddles == {}, "headers that ask or riddle: begin with a noun phrase that names the thing"


def test_public_classes_have_names_of_their_own() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in CODE:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(place_of(path))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_variables_name_their_content() -> None:
    offences = []
    for path in FILES:
        for node in nodes_of(path):
            names: list[str] = []
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names = [node.id]
            elif isinstance(
                node, ast.arguments
            ):  # keyword-only arguments are config keys, which users have written down
                names = [argument.arg for argument in (*node.posonlyargs, *node.args)]
            offences += [f"{place_of(path, node)} {name}" for name in ORIGINS.intersection(names)]
    assert offences == [], "name what a value is, not where it came from"
