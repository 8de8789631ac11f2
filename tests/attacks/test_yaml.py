"""YAML that makes objects, grows when it is read, or never ends: in every file that is read as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.attacks.payloads import refused

TAGS = (
    "!!python/object/apply:os.system ['touch {canary}']",
    "!!python/object/new:os.system ['touch {canary}']",
    "!!python/object:frugalmtl.core.registry.Registry {{}}",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/tuple [a, b]",
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {canary}']",
    "!!binary aGFsbG8=",
    "!!set {{a, b}}",
)
BOMBS = {
    "aliases": "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(12)),
    "merges": "a0: &a0 {x: 1, y: 2}\n"
    + "".join(f"a{i + 1}: &a{i + 1} {{<<: [{','.join([f'*a{i}'] * 9)}]}}\n" for i in range(12)),
    "cycle in a list": "name: &a [*a]",
    "cycle in a mapping": "train: &a {epochs: *a}",
    "cycle through a key": "train: &a {<<: *a}",
    "deep lists": "name: " + "[" * 100_000,
    "deep mappings": "{a: " * 100_000,
    "deep blocks": "- " * 100_000,
    "many values": "name: [" + "x," * 400_000 + "x]",
    "long text": "name: " + "x" * 3_000_000,
    "long number": "seed: " + "9" * 100_000,
}


def arguments_for(place: str, text: str, tmp_path: Path, run: Path) -> list[str]:
    """Write the text as one of the files that are read as YAML; the command that reads it."""
    file = run / "config.yaml" if place == "run" else tmp_path / "file.yaml"
    file.write_text(text, encoding="utf-8")
    return {
        "run": ["evaluate", str(run)],
        "data": ["data", "check", str(file)],
        "profile": ["profile", "--config", str(file)],
    }.get(place, [place, "--config", str(file), "--out", str(tmp_path / "out")])


PLACES = ("train", "compare", "sweep", "profile", "data", "run")


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("place", PLACES)
def test_tags(place: str, tag: str, tmp_path: Path, run: Path, canary: Path, capsys: Any) -> None:
    text = f"name: {tag.format(canary=canary)}\nimages: x\n"
    assert "is not taken" in refused(capsys, arguments_for(place, text, tmp_path, run), canary)


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("place", PLACES)
def test_bombs(place: str, bomb: str, tmp_path: Path, run: Path, canary: Path, capsys: Any) -> None:
    refused(capsys, arguments_for(place, BOMBS[bomb], tmp_path, run), canary)


@pytest.mark.parametrize("bomb", BOMBS)
def test_flags(bomb: str, tmp_path: Path, canary: Path, capsys: Any) -> None:
    refused(capsys, ["train", "--train", BOMBS[bomb][:100_000], "--out", str(tmp_path / "out")], canary)


def test_a_dataset_file_named_by_an_experiment(tmp_path: Path, canary: Path, capsys: Any) -> None:
    (tmp_path / "data.yaml").write_text(BOMBS["aliases"], encoding="utf-8")
    section = f"{{name: folder, file: {tmp_path / 'data.yaml'}}}"
    assert "more than 50000 values" in refused(capsys, ["train", "--data", section], canary)


def test_nothing_is_filled_in(tmp_path: Path, canary: Path, capsys: Any, monkeypatch: Any) -> None:
    """References to the environment, to commands and to templates are texts like any other."""
    monkeypatch.setenv("SECRET", "hidden")
    for text in ("${SECRET}", "$SECRET", f"$(touch {canary})", f"`touch {canary}`", "{{ 7 * 7 }}", "%(SECRET)s", "~"):
        (tmp_path / "file.yaml").write_text(f"encoder: {{name: '{text}'}}\ndata: {{name: rooms}}\n", encoding="utf-8")
        error = refused(capsys, ["train", "--config", str(tmp_path / "file.yaml")], canary)
        assert text[:20] in error
        assert "hidden" not in error
