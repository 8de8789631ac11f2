"""Advice after a divergence: which runs the changed config makes out of date."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.experiment.comparison.remedy import point_remedy, row_remedy
from frugalmtl.experiment.comparison.run_grid import RunGrid
from frugalmtl.experiment.config.axis import Axis
from frugalmtl.experiment.config.comparison import Comparison, row_experiments
from frugalmtl.experiment.runs.run import Run

BASE = {
    "data": {"name": "rooms", "size": "tiny"},
    "tasks": ["segmentation"],
    "backbone": {"name": "cifar_resnet"},
    "decoder": {"name": "independent"},
}


class Begun(RunGrid):
    """Runs all of which have a checkpoint, but those that a name leaves out."""

    def run(self, row: str, seed: int) -> Run:
        run = super().run(row, seed)
        if (row, seed) != ("b", 1):
            run.weights.mkdir(parents=True, exist_ok=True)
        return run


def advice(folder: Path, row: str, points: tuple[str, ...] = ()) -> str:
    rows = {"a": {}, "b": {}, "c": {"init_from": "b"}, "d": {"init_from": "c"}, "p": {}, "q": {}}
    comparison = Comparison(BASE, rows, "a", [0, 1])
    experiments = {seed: row_experiments(comparison, seed) for seed in comparison.seeds}
    remedies = dict.fromkeys(points, row_remedy("points"))
    grid = Begun(comparison, folder, experiments, None, (), remedies)  # type: ignore[arg-type]  # reads no data
    return grid._gentler(row, grid.run(row, 0))


def outdated(text: str) -> list[str]:
    return [Path(path).name for path in text.partition(", delete ")[2].partition(", and run")[0].split(", ") if path]


def test_other_seeds_and_rows_that_start_from_a_row_go_with_it(tmp_path: Path) -> None:
    assert outdated(advice(tmp_path, "b")) == ["b-seed0", "c-seed0", "d-seed0", "c-seed1", "d-seed1"]
    assert outdated(advice(tmp_path, "a")) == ["a-seed0", "a-seed1"]


def test_the_points_of_a_sweep_go_together_with_what_the_search_learnt(tmp_path: Path) -> None:
    runs = ["p-seed0", "q-seed0", "p-seed1", "q-seed1", "sweep.journal"]
    assert outdated(advice(tmp_path, "q", ("p", "q"))) == runs
    assert outdated(advice(tmp_path, "a", ("p", "q"))) == ["a-seed0", "a-seed1"]


@pytest.mark.parametrize(
    ("axis", "rate", "otherwise"),
    [
        (
            Axis("encoder.own", values=[0.5, 0.6]),
            True,
            "; or leave 0.5 out of the 'values' of 'sweep', and run it again",
        ),
        (Axis("encoder.own", values=[0.5]), True, ""),
        (Axis("encoder.own", low=0.1, high=0.9, trials=3), True, ""),
        (Axis("train.optimizer.lr", values=[0.5, 0.1]), False, "; or leave 0.5 out of the 'values' of 'sweep'"),
        (Axis("train.optimizer.lr", low=0.1, high=0.9, trials=3), False, "; or set 'high' of 'sweep' below 0.5"),
    ],
)
def test_a_point_is_given_only_what_its_axis_leaves_free(axis: Axis, rate: bool, otherwise: str) -> None:
    text = point_remedy(axis, 0.5).text([])
    assert text.startswith("give 'row' of 'sweep' 'train: {")
    assert ("optimizer: {lr: ...}" in text) == rate
    assert "'train: {clip_norm: 1}', and run the same command again" in text
    assert text.partition("that are finished")[2].startswith(otherwise)
    assert bool(text.partition("that are finished")[2]) == bool(otherwise)


def test_a_point_of_a_grid_is_named_by_the_values_that_may_be_left_out() -> None:
    axis = Axis(grid={"encoder.own": [0.5, 0.6], "encoder.other": [0.1], "train.optimizer.lr": [0.1, 0.2]})
    text = point_remedy(axis, (0.6, 0.1, 0.2)).text([])
    assert "optimizer: {lr" not in text
    assert "leave 0.6 of 'encoder.own' or 0.2 of 'train.optimizer.lr' out of the 'grid' of 'sweep'" in text
    assert "leave" not in point_remedy(Axis(grid={"encoder.own": [0.5]}), (0.5,)).text([])
