"""A new member of any registry: one file, and it is listed, described, checked, built and in the schema."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from frugalmtl.cli.main import main
from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.registries import LISTED

TOY = '''"""Toy member: a file that nothing else knows of (Nobody, 2026)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Nested:
    """Options that stand together.

    Attributes:
        width: how wide.
    """

    width: int = 8


class Base:
    """Options that several toys share.

    Args:
        weight: how heavy.
    """

    def __init__(self, *injected: Any, weight: float = 1.0) -> None:
        self.injected, self.weight = injected, weight


class ToyMember(Base):
    """Toy member: a file that nothing else knows of (Nobody, 2026).

    Its formula is ``y = strength * x`` and :class:`Base` knows it.

    Args:
        injected: handed over by the wiring.
        strength: how strong.
        mode: which way.
        nested: options that stand together.
    """

    def __init__(
        self,
        *injected: Any,
        strength: float,
        mode: Literal["up", "down"] = "up",
        nested: Nested = Nested(),
        **options: Any,
    ) -> None:
        super().__init__(*injected, **options)
        self.strength, self.mode, self.nested = strength, mode, nested
'''
FOLDERS = [
    (title, package)
    for title, registry in LISTED.items()
    for package in ([inner.package for inner in getattr(registry, "rooms", [])] or [registry.package])
    if package
]


IN_CONFIGS = [item for item in FOLDERS if item[0] not in ("losses", "metrics", "export", "encodings")]
"""Those whose members a section of a config names."""


@pytest.fixture
def package(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry's package with a folder of one more file on its path."""
    name: str = request.param
    (tmp_path / "toy_member.py").write_text(TOY, encoding="utf-8")
    module = importlib.import_module(name)
    monkeypatch.setattr(module, "__path__", [*module.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(f"{name}.toy_member", None)
    vars(module).pop("toy_member", None)


@pytest.mark.parametrize(("title", "package"), FOLDERS, indirect=["package"])
def test_a_new_file_is_a_member(title: str, package: str, capsys: pytest.CaptureFixture[str]) -> None:
    registry = LISTED[title]
    assert "toy_member" in registry.names()
    assert registry.describe("toy_member") == "Toy member: a file that nothing else knows of (Nobody, 2026)."
    assert list(registry.schema("toy_member")) == ["strength", "mode", "nested", "weight"]

    section = {"name": "toy_member", "strength": 2, "nested": {"width": 3}, "weight": 0.5}
    toy = registry.build(section, "first", "second")
    assert type(toy).__module__ == f"{package}.toy_member"
    assert (toy.injected, toy.strength, toy.mode, toy.nested.width, toy.weight) == (
        ("first", "second"),
        2.0,
        "up",
        3,
        0.5,
    )

    for change, message in {
        "strenght": "Did you mean 'strength'",
        "mode": "mode must be 'up' or 'down', but got 'x'",
        "weight": "weight must be a number, but got 'x'",
    }.items():
        with pytest.raises(UserError, match=message):
            registry.check({**section, change: "x"})
    with pytest.raises(UserError, match=r"unknown key in .*: nested: 'widht'"):
        registry.check({**section, "nested": {"widht": 3}})
    with pytest.raises(UserError, match="needs strength"):
        registry.build("toy_member")

    assert main(["list", title]) == 0
    assert "toy_member" in capsys.readouterr().out
    assert main(["list", registry.what, "toy_member"]) == 0
    shown = capsys.readouterr().out
    for text in ("strength: a number (required)", "how strong.", "weight: a number (default 1.0)", "how heavy."):
        assert text in shown
    assert "y = strength * x and Base knows it" in shown


@pytest.mark.parametrize(("title", "package"), IN_CONFIGS, indirect=["package"])
def test_a_new_file_is_in_the_schema_of_configs(title: str, package: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    definitions = json.loads(capsys.readouterr().out)["$defs"]
    toy = definitions[f"{LISTED[title].what}.toy_member"]
    assert toy["properties"]["strength"]["description"] == "how strong."
    assert "strength" in toy["required"]
