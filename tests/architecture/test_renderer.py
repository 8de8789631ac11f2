"""Independence of the renderer: it needs NumPy and the standard library, and nothing of frugalmtl."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import frugalmtl_rooms

SOURCE = Path(frugalmtl_rooms.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
ALLOWED = {"numpy", "frugalmtl_rooms", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_are_numpy_and_the_standard_library(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] in ALLOWED, f"{path}:{node.lineno} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_file_is_shipped(path: Path) -> None:
    assert (path.parent / "__init__.py").exists(), f"{path.parent} is no package: a wheel would lack it"


def test_renders_where_nothing_else_can_be_imported() -> None:
    code = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {ALLOWED!r}:
            raise ImportError(f"{{name}} is not there")

sys.meta_path.insert(0, Refuse())
for name in ("torch", "frugalmtl"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{{name}} can be imported")
from frugalmtl_rooms import CLASSES, clip, render

picture = render(3, 32)
frames = list(clip(3, 2, 32))
print(picture.image.shape, len(frames), CLASSES[picture.segmentation[0, 0]])
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = [{str(SOURCE.parent)!r}]\n{code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["(32,", "32,", "3)", "2", "ceiling"]
