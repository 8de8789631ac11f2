"""Wheel of the package: it holds all files, and what is installed from it works without the source."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import frugalmtl

SOURCE = Path(frugalmtl.__file__).parent
ROOT = SOURCE.parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("frugalmtl-*.whl")
    return file


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("frugalmtl/")}
    files = {path.relative_to(SOURCE.parent).as_posix() for path in SOURCE.rglob("*") if path.is_file()}
    assert held == {name for name in files if "__pycache__" not in name}


@pytest.mark.slow
def test_what_is_installed_from_it_renders_trains_and_reports(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, cwd=tmp_path)
    (tmp_path / "config.yaml").write_text(
        "base: {data: {name: rooms, size: tiny, train: 4, val: 2, test: 2}, tasks: [depth], backbone: {name: timm, "
        "model: test_resnet}, decoder: {name: independent, head: linear}, train: {epochs: 1, batch_size: 2}}\n"
        "rows: {single: {encoder: {name: single_task}}, shared: {encoder: {name: hard_sharing}}}\n"
        "reference: single\nlatency_rounds: 1\npanels: 1\n"
    )
    # The folder comes before this checkout, which is installed for editing where tests run.
    (tmp_path / "run.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(site)!r})\n"
        "import frugalmtl\n"
        "from frugalmtl.cli.main import main\n"
        f"assert frugalmtl.__file__ == {str(site / 'frugalmtl' / '__init__.py')!r}, frugalmtl.__file__\n"
        "sys.exit(main(['compare', '--config', 'config.yaml', '--out', 'out']))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
