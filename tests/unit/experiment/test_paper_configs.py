"""Files in configs/: one base and its rows, complete, without repetition; every network can be built."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from frugalmtl.cli.main import main
from frugalmtl.experiment.config.comparison import ROW_KEYS, Comparison, merge, row_experiments, row_text
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse, read_yaml
from frugalmtl.experiment.config.sweep import Sweep, expand
from frugalmtl.experiment.runs.build import build, build_dataset, without_weights

CONFIGS = Path(__file__).parents[3] / "configs"
CONTENTS = {path.relative_to(CONFIGS).as_posix(): read_yaml(path) for path in sorted(CONFIGS.rglob("*.yaml"))}
SEVERAL = [name for name, content in CONTENTS.items() if "rows" in content]
ON_VALUES = ("rooms/pareto_sweep.yaml",)
"""Pareto MTL spreads its preferences by computing with them, which the meta device cannot."""
PAPERS = [name for name in CONTENTS if name.startswith("paper/")]


def comparison_of(name: str) -> Comparison:
    """The comparison of a file; the points of a sweep are rows of it."""
    content = CONTENTS[name]
    if "sweep" not in content:
        return parse(Comparison, content, name)
    sweep = parse(Sweep, content, name)
    return expand(sweep, sweep.sweep.places or [])


def experiments_of(name: str) -> dict[str, Experiment]:
    """``{row: experiment}``; a file of one experiment has one row of its name."""
    if name in SEVERAL:
        return row_experiments(comparison_of(name), 0)
    experiment = parse(Experiment, CONTENTS[name], name)
    return {experiment.name: experiment}


def leaves(content: Mapping[str, Any], *path: str) -> dict[tuple[str, ...], Any]:
    """``{path of keys: value}`` of nested mappings."""
    result: dict[tuple[str, ...], Any] = {}
    for key, value in content.items():
        result |= leaves(value, *path, key) if isinstance(value, Mapping) else {(*path, key): value}
    return result


def without(content: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Nested mappings without the value at ``path``."""
    copied = copy.deepcopy(dict(content))
    place = copied
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return copied


def test_configs_of_papers_and_of_the_embedded_dataset_are_there() -> None:
    assert len(PAPERS) == 23
    assert len(CONTENTS) > len(PAPERS)
    assert set(PAPERS) <= set(SEVERAL)


@pytest.mark.parametrize("name", CONTENTS)
def test_file_parses(name: str) -> None:
    assert experiments_of(name)


@pytest.mark.parametrize("name", SEVERAL)
def test_comparison_is_complete(name: str) -> None:
    comparison = comparison_of(name)
    assert comparison.reference in comparison.rows
    titles = [row_text(comparison, row, "title", "") for row in comparison.rows]
    titles += [line.row().title for line in comparison.published]
    assert all(titles)
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", PAPERS)
def test_paper_states_its_seeds_and_sources(name: str) -> None:
    comparison = comparison_of(name)
    assert comparison.name == Path(name).stem
    assert {"seeds", "reference"} <= CONTENTS[name].keys()
    tasks = {str(task.get("name", task["kind"])) for task in comparison.base["tasks"]}
    records = [*comparison.published, *(item.published for item in experiments_of(name).values() if item.published)]
    for record in records:
        assert record.source
        assert set(record.scores) <= tasks
        # A task that a paper scores by another metric than ours has its figure among the values.
        named = {task for task in tasks if task in record.scores or any(task in key for key in record.values)}
        assert named == tasks or (not record.scores and record.values)


@pytest.mark.parametrize("name", SEVERAL)
def test_no_row_repeats_what_base_can_hold(name: str) -> None:
    base = CONTENTS[name]["base"]
    rows = [
        {key: value for key, value in (row or {}).items() if key not in ROW_KEYS}
        for row in CONTENTS[name]["rows"].values()
    ]
    for row in rows:
        assert [path for path in leaves(row) if merge(base, without(row, path)) == merge(base, row)] == []
    first, *others = map(leaves, rows)
    assert others
    assert [path for path, value in first.items() if all(row.get(path) == value for row in others)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CONTENTS if name not in PAPERS])
def test_every_network_can_be_built(name: str) -> None:
    """On the meta device; those of papers are built (and counted) where their published costs are tested."""
    experiments = experiments_of(name)
    dataset = build_dataset(next(iter(experiments.values())))
    for experiment in experiments.values():
        with torch.device("cpu" if name in ON_VALUES else "meta"):
            built = build(without_weights(experiment), dataset)
        assert {parameter.is_meta for parameter in built.model.parameters()} == {name not in ON_VALUES}


@pytest.mark.parametrize("name", ["paper/survey_nyud_resnet50.yaml", "paper/interrogate_celeba_resnet20.yaml"])
def test_comparison_without_data_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    assert main(["compare", "--config", str(CONFIGS / name), "--out", str(folder)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "has no section 'data'" in lines[0]
    assert not folder.exists()
