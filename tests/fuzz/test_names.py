"""Hostile names in every place that takes one: folders, tables, pages and modules hold, or refuse in one line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from frugalmtl.core.names import path_part
from frugalmtl.core.terminal import visible, without_markup
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.experiment.config.comparison import Comparison, row_experiments
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse, read_yaml, to_yaml
from frugalmtl.experiment.config.sweep import Sweep, expand
from frugalmtl.experiment.runs.build import build
from frugalmtl.experiment.runs.folder import RunFolder
from tests.fuzz.judging import judge
from tests.fuzz.names import names
from tests.support.html import Reader
from tests.support.report import build as make_results
from tests.support.report import page_of
from tests.support.toy_folder import dataset_file, write_folder

AMOUNTS = [25, pytest.param(200, marks=pytest.mark.slow)]
BASE: dict[str, Any] = {
    "tasks": [{"kind": "depth"}],
    "image_size": [32, 32],
    "backbone": {"name": "cifar_resnet", "depth": 8},
    "decoder": {"name": "independent", "head": "linear"},
}


def as_experiment(name: str, folder: Path) -> None:
    """As the name of an experiment, of its splits, and of the folder of its run."""
    config = parse(Experiment, {**BASE, "name": name}, "config")
    assert (folder / config.name).parent == folder
    path = folder.parent / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert parse(Experiment, read_yaml(path), "config") == config


def as_split(name: str, folder: Path) -> None:
    run = RunFolder(folder.parent / "run", parse(Experiment, BASE, "config"))
    assert not run.scores(name, missing_ok=True)


def as_task(name: str, folder: Path) -> None:
    """As the name of a task of a network that is built."""
    build(parse(Experiment, {**BASE, "tasks": [{"kind": "depth", "name": name}]}, "config"))


def as_row(name: str, folder: Path) -> None:
    content = {"base": BASE, "rows": {name: {"title": name, "curve": name}}, "reference": name, "name": name}
    row_experiments(parse(Comparison, content, "config"), seed=0)


def as_axis(name: str, folder: Path) -> None:
    axis = {"key": "train.epochs", "values": [1, 2], "row": {"title": name}}
    content = {"base": BASE, "rows": {"one": {}}, "reference": "one", "sweep": axis}
    row_experiments(expand(parse(Sweep, content, "config"), [1, 2]), seed=0)


def in_a_dataset(name: str, folder: Path) -> None:
    """As a task, a split and a class of a folder dataset."""
    root = folder.parent / "data"
    task = {"kind": "segmentation", "classes": [name, "other"], "files": "seg/{id}.png"}
    for keys in ({}, {"splits": {name: "train.txt"}}, {"tasks": {name: task}}):
        Folder(file=str(dataset_file(root, **{"tasks": {"seg": task}, **keys})))


def on_the_terminal(name: str, folder: Path) -> None:
    console = Console(file=io.StringIO(), width=10_000)
    console.print(f"[bold]{without_markup(name)}[/bold]", soft_wrap=True)
    assert console.file.getvalue() == visible(name) + "\n"  # type: ignore[attr-defined]


def as_record(name: str, folder: Path) -> None:
    """As a text in a record of JSON."""
    assert json.loads(json.dumps({name: name})) == {name: name}


USES: dict[str, Callable[[str, Path], None]] = {
    use.__name__: use
    for use in (as_experiment, as_split, as_task, as_row, as_axis, in_a_dataset, on_the_terminal, as_record)
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("count", AMOUNTS)
def test_names(count: int, use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a" / "b" / "watched"
    folder.mkdir(parents=True)
    (tmp_path / "a" / "b" / "run").mkdir()
    write_folder(tmp_path / "a" / "b" / "data", 2, folders=("image", "seg"))
    outside = sorted(tmp_path.iterdir()) + sorted((tmp_path / "a").iterdir())
    print(use, dict(judge({ascii(name): partial(USES[use], name, folder) for name in names(count)}, folder)))
    assert sorted(tmp_path.iterdir()) + sorted((tmp_path / "a").iterdir()) == outside, "a name left its folder"


@pytest.mark.slow
def test_the_page_of_a_report_holds_every_name_as_text(tmp_path: Path) -> None:
    """All names at once, as a comparison takes them: as titles of rows and of the whole."""
    results = make_results(tmp_path)
    plain = [tag for tag, _ in Reader(page_of(make_results(tmp_path), tmp_path)).elements]
    chosen = [visible(name) for name in names(200)]
    for index, row in enumerate(results.rows):
        row.title = "".join(chosen[index::5])
    results.name = "".join(chosen)
    elements = Reader(page_of(results, tmp_path)).elements
    assert [tag for tag, _ in elements] == plain
    page_of(results, tmp_path).encode("utf-8")


@pytest.mark.parametrize("name", names(200), ids=ascii)
def test_a_part_of_a_path_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    try:
        part = path_part("split", name)
    except ValueError:
        return
    (tmp_path / f"scores-{part}.json").touch()
    assert [path.name for path in tmp_path.iterdir()] == [f"scores-{part}.json"]
