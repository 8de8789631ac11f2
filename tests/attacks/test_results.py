"""Results of somebody else whose pictures are files of this machine: the page, which is sent on, holds none of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.report.results import load_results, save_results
from frugalmtl.report.write import render_page
from tests.attacks.payloads import harmless
from tests.support.report import build

SECRET = (12, 34, 56)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture of the user's beside the folder of the report."""
    file = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), SECRET).save(file)
    return file


def point_to(folder: Path, path: str) -> None:
    """Write results with their pictures, and let one of these lead elsewhere."""
    file = folder / "results.json"
    save_results(build(folder), file)
    first = load_results(file).panels[0].image
    file.write_text(file.read_text(encoding="utf-8").replace(first, path), encoding="utf-8")


@pytest.mark.parametrize("path", ["/etc/hostname", "../secret.png", "figures/../../secret.png", "ABSOLUTE"])
def test_paths_that_leave_the_folder(path: str, secret: Path, tmp_path: Path, canary: Path) -> None:
    point_to(tmp_path / "report", path.replace("ABSOLUTE", secret.as_posix()))
    with harmless(canary), pytest.raises(UserError, match="must be a path inside the folder of the results file"):
        load_results(tmp_path / "report" / "results.json")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
@pytest.mark.parametrize("kind", ["file", "folder", "loop"])
def test_links_that_leave_the_folder(kind: str, secret: Path, tmp_path: Path, canary: Path) -> None:
    folder = tmp_path / "report"
    link = {"file": "link.png", "folder": "link/secret.png", "loop": "link.png"}[kind]
    point_to(folder, link)
    target = {"file": secret, "folder": secret.parent, "loop": folder / "link.png"}[kind]
    (folder / link.partition("/")[0]).symlink_to(target)
    results = load_results(folder / "results.json")
    with harmless(canary), pytest.raises(UserError, match=r"^picture .*link") as caught:
        render_page(results, folder, [])
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_that_stay_are_followed(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    point_to(folder, "link.png")
    Image.new("RGB", (8, 8), SECRET).save(folder / "there.png")
    (folder / "link.png").symlink_to(folder / "there.png")
    assert "<html" in render_page(load_results(folder / "results.json"), folder, [])


def test_pictures_that_are_no_images(tmp_path: Path, canary: Path) -> None:
    folder = tmp_path / "report"
    point_to(folder, "text.png")
    (folder / "text.png").write_text("root:x:0:0", encoding="utf-8")
    with harmless(canary), pytest.raises(UserError, match=r"text\.png: is not an image"):
        render_page(load_results(folder / "results.json"), folder, [])
