"""Names with markup, escape sequences and ways out of a folder, from the config to the last file."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from frugalmtl.cli.main import main
from frugalmtl.report import print_table
from tests.integration.conftest import write_config
from tests.support.html import Reader
from tests.support.report import build, page_of

TITLE = "[/bold] <script>alert(1)</script> \"'><img src=x onerror=alert(1)> {{ 7*7 }} ${HOME} \x1b[31m"
OUTWARD = "x/../../../../evil"


@pytest.mark.slow
def test_titles_are_texts(tmp_path: Path, experiment: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"one": {"title": TITLE, "curve": TITLE}, "two": {"title": "[bold]", "curve": TITLE}}
    content = {"base": experiment, "rows": rows, "reference": "one", "latency_rounds": 1, "panels": 1}
    config = write_config(tmp_path / "config.yaml", {**content, "name": "[bold]a"})
    assert main(["compare", "--config", str(config), "--out", str(tmp_path / "out [red]")]) == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "[/bold] <script>" in printed.err, "the title is printed as it is"
    page = (tmp_path / "out [red]" / "report.html").read_text(encoding="utf-8")
    elements = Reader(page).elements
    assert "<script>alert" not in page
    assert not any("onerror" in attributes for _, attributes in elements)
    assert "{{ 7*7 }}" in page, "no template is filled a second time"


@pytest.mark.slow
def test_the_report_escapes_every_name_of_its_results(tmp_path: Path) -> None:
    results = build(tmp_path)
    results.name = results.protocol.dataset = TITLE
    for row in results.rows:
        row.title = f"{row.title} {TITLE}"
    plain = page_of(build(tmp_path), tmp_path)
    page = page_of(results, tmp_path)
    count = len(re.findall("<script", plain))
    assert len(re.findall("<script", page)) == count, "nothing became an element"
    assert not any("onerror" in attributes for _, attributes in Reader(page).elements)
    console = Console(file=io.StringIO(), width=300)
    print_table(results, console)
    assert "\x1b" not in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "change"),
    [
        ("train", {"name": OUTWARD}),
        ("train", {"name": "/evil"}),
        ("train", {"test_split": OUTWARD}),
        ("train", {"evaluate_split": OUTWARD}),
        ("train", {"tasks": [OUTWARD]}),
        ("compare", {"name": OUTWARD}),
        ("compare", {"rows": {OUTWARD: {}}, "reference": OUTWARD}),
        ("sweep", {"name": OUTWARD}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_no_name_leaves_its_folder(
    command: str, change: dict[str, Any], tmp_path: Path, experiment: dict[str, Any], capsys: Any, monkeypatch: Any
) -> None:
    folder = tmp_path / "a" / "b" / "c" / "d" / "e"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    content: dict[str, Any] = experiment
    if command != "train":
        content = {"base": experiment, "rows": {"one": {}}, "reference": "one"}
    if command == "sweep":
        content["sweep"] = {"key": "encoder.own", "values": [0.5]}
    write_config(Path("config.yaml"), {**content, **change})
    before = sorted(tmp_path.rglob("*"))
    assert main([command, "--config", "config.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_dataset_cannot_name_its_splits_and_tasks_freely(tmp_path: Path, capsys: Any) -> None:
    tasks = '{kind: depth, files: "{id}.png", encoding: {name: scaled, scale: 1}}'
    for task, split, word in (("depth", OUTWARD, "split"), (OUTWARD, "train", "task"), ("a.b", "train", "task")):
        text = f'root: .\nimages: "{{id}}.png"\ntasks: {{{task}: {tasks}}}\nsplits: {{{split}: 1.0}}\n'
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
        assert main(["data", "check", str(tmp_path / "own.yaml")]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert word in error
        assert "name" in error
