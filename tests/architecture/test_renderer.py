"""Independence of the renderer: it needs NumPy and the standard library, and nothing of frugalmtl."""

from __future__ import annotations

import ast
import subprocess
import sys

from tests.architecture._sources import ROOMS, SOURCE, nodes_of, place_of, python_files

FILES = python_files(ROOMS)
ALLOWED = {"numpy", "frugalmtl_rooms", *sys.stdlib_module_names}


def test_imports_are_numpy_and_the_standard_library() -> None:
    offences = []
    for path in FILES:
        for node in nodes_of(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{'.' * node.level}{node.module or ''}"]
            offences += [
                f"{place_of(path, node)} imports {name}" for name in names if name.split(".")[0] not in ALLOWED
            ]
    assert offences == []


def test_every_file_is_shipped() -> None:
    folders = {path.parent for path in FILES}
    assert [place_of(folder) for folder in folders if not (folder / "__init__.py").exists()] == [], (
        "a wheel would lack them"
    )


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
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = [{str(SOURCE)!r}]\n{code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["(32,", "32,", "3)", "2", "ceiling"]
