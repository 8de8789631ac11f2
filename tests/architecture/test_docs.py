"""Documentation: a row for every member in docs/methods.md, and no path that leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frugalmtl.experiment import REGISTRIES

ROOT = Path(__file__).parents[2]
METHODS = ROOT / "docs" / "methods.md"
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
)
CONFIG = re.compile(r"\bconfigs/[\w./*-]*[\w/*]")
LINK = re.compile(r"\]\(([^)#\s]+)")
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.*-]*)`")
MEMBERS = [(package, name) for package, registry in REGISTRIES.items() for name in registry.names()]


@pytest.mark.parametrize(("package", "name"), MEMBERS, ids=lambda value: str(value))
def test_member_has_a_row(package: str, name: str) -> None:
    rows = [line for line in METHODS.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert any(f"`{name}`" in line and f"| {package} |" in line for line in rows), (
        f"docs/methods.md has no row for {package}/{name}"
    )
    assert any(f"/{name}.py`" in line or f"/{name}/`" in line for line in rows), (
        f"no row names the file of {package}/{name}"
    )


def test_the_patterns_of_paths_find_what_pages_hold() -> None:
    text = "run `frugalmtl train --config configs/a/b.yaml`, (`configs/c.yaml`): [x](../y.md#z), `core/`, `1/2 x`"
    assert CONFIG.findall(text) == ["configs/a/b.yaml", "configs/c.yaml"]
    assert LINK.findall(text) == ["../y.md"]
    assert PATH.findall(text) == ["configs/c.yaml", "core/"]


@pytest.mark.parametrize("page", PAGES)
def test_every_path_exists(page: str) -> None:
    """Links from the page; configs from the root; others from the root, or from the package as the text says."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = {link for link in LINK.findall(text) if "://" not in link}
    missing = {link for link in links if not ((ROOT / page).parent / link).exists()}
    missing |= {path for path in CONFIG.findall(text) if not list(ROOT.glob(path))}
    package = ROOT / "src" / "frugalmtl"
    bases = [ROOT, package, *(folder for folder in package.iterdir() if folder.is_dir())]
    written = {path for path in PATH.findall(text) if not path.startswith("runs/")}
    missing |= {path for path in written if not any(list(base.glob(path)) for base in bases)}
    assert sorted(missing) == []


@pytest.mark.parametrize(("package", "name"), MEMBERS, ids=lambda value: str(value))
def test_member_introduces_itself(package: str, name: str) -> None:
    line = REGISTRIES[package].describe(name)
    assert 10 < len(line) <= 140
    assert line.endswith((".", ":")), f"{package}/{name}: {line!r}"


def test_what_is_there_is_not_listed_as_missing() -> None:
    """Names are compared by letters and digits alone: "Pareto-MTL" is ``pareto_mtl``."""
    text = METHODS.read_text(encoding="utf-8").partition("## Not yet there")[2]
    listed = re.split(r"[,.:]|\band\b", text)
    missing = {re.sub(r"[^a-z0-9]", "", name.lower()) for name in listed} - {""}
    assert missing, "docs/methods.md has no list of what is missing"
    there = {name.replace("_", ""): f"{package}/{name}" for package, name in MEMBERS}
    assert [there[name] for name in sorted(missing & there.keys())] == []
