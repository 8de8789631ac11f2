"""Order of the runs of a comparison: what others start from comes first, and what is not shown only if it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.comparison.run_grid import RunGrid
from frugalmtl.experiment.config.comparison import Comparison, check_shown, row_experiments, shown_rows


def grid(rows: dict[str, Any], seeds: list[int], folder: Path) -> RunGrid:
    comparison = Comparison({"tasks": [{"kind": "depth"}]}, rows, next(iter(rows)), seeds)
    experiments = {seed: row_experiments(comparison, seed) for seed in seeds}
    return RunGrid(comparison, folder, experiments, cast(Any, None))


def test_a_run_comes_after_the_one_that_it_starts_from(tmp_path: Path) -> None:
    taken = {"run": "search", "take": ["structure"], "seed": 2}
    runs = grid({"one": {}, "search": {"init_from": "one"}, "policy": {"init_from": taken}}, [0, 1, 2], tmp_path)
    cells = runs.cells()
    assert sorted(cells) == sorted((seed, row) for seed in (0, 1, 2) for row in ("one", "search", "policy"))
    for seed in (0, 1, 2):
        assert cells.index((seed, "one")) < cells.index((seed, "search"))
        assert cells.index((2, "search")) < cells.index((seed, "policy"))
        source = runs.source("policy", seed)
        assert source is not None
        assert source.folder.name == "search-seed2"
    assert runs.source("one", 0) is None


def test_without_sources_the_order_is_by_seed_and_row(tmp_path: Path) -> None:
    runs = grid({"one": {}, "two": {}, "three": {"init_from": "one"}}, [3, 0], tmp_path)
    assert runs.cells() == [(seed, row) for seed in (3, 0) for row in ("one", "two", "three")]


@pytest.mark.parametrize(("seed", "needed"), [(None, [(0, "search"), (1, "search")]), (1, [(1, "search")])])
def test_rows_that_are_not_shown_run_where_they_are_needed(
    seed: int | None, needed: list[tuple[int, str]], tmp_path: Path
) -> None:
    start = {"run": "search", "take": ["structure"], "seed": seed}
    rows = {"one": {}, "search": {"shown": False}, "policy": {"init_from": start}, "other": {"init_from": start}}
    runs = grid(rows, [0, 1], tmp_path)
    assert [cell for cell in runs.cells() if cell[1] == "search"] == needed
    assert shown_rows(runs.comparison) == ["one", "policy", "other"]
    check_shown(runs.comparison, runs.experiments[0])


def test_a_row_may_serve_one_that_is_shown_through_another(tmp_path: Path) -> None:
    rows = {"one": {}, "a": {"shown": False}, "b": {"shown": False, "init_from": "a"}, "c": {"init_from": "b"}}
    runs = grid(rows, [0], tmp_path)
    check_shown(runs.comparison, runs.experiments[0])
    assert runs.cells() == [(0, "one"), (0, "a"), (0, "b"), (0, "c")]
    lost = grid({**rows, "c": {}}, [0], tmp_path)
    with pytest.raises(UserError, match="row 'a' is not shown, and no row that is shown starts from it"):
        check_shown(lost.comparison, lost.experiments[0])
