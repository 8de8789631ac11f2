"""The runs of a comparison, one per row and seed: checked together, trained one by one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from frugalmtl.core.checks import UserError, known, not_negative, positive
from frugalmtl.data import Dataset
from frugalmtl.data.photographs import check_source, read_photo
from frugalmtl.experiment.comparison.folder import check_folder, run_folder
from frugalmtl.experiment.comparison.remedy import Remedy, row_remedy
from frugalmtl.experiment.comparison.trials import JOURNAL
from frugalmtl.experiment.comparison.turns import CLAIMS, measuring, working
from frugalmtl.experiment.config.comparison import (
    Comparison,
    check_colours,
    check_shown,
    result_name,
    row_experiments,
    row_points,
    row_text,
    shown_rows,
)
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs import processes
from frugalmtl.experiment.runs.build import Built, build, build_dataset
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.start import start_of
from frugalmtl.experiment.runs.training import check_training, evaluate_run, print_notes, train_run

Cell = tuple[int, str]
"""Seed and row of a run."""


@dataclass(frozen=True)
class RunGrid:
    """The runs of a comparison, one per row and seed.

    Attributes:
        comparison: the rows.
        folder: of the comparison.
        experiments: ``{seed: {row: experiment}}``.
        dataset: the one dataset of all rows.
        checked: experiments, of whatever seed, of which a step of every stage has been tried.
        points: the rows that are points of a sweep, and what to do if one diverges.
    """

    comparison: Comparison
    folder: Path
    experiments: Mapping[int, Mapping[str, Experiment]]
    dataset: Dataset
    checked: Sequence[Experiment] = ()
    points: Mapping[str, Remedy] = field(default_factory=dict)

    @classmethod
    def of(cls, comparison: Comparison, folder: Path, checked: Sequence[Experiment] = ()) -> RunGrid:
        """Check everything, build every model once and take a dry step with it; nothing is written.

        Args:
            comparison: the rows.
            folder: of the comparison.
            checked: experiments of which another process has tried the steps.

        Raises:
            UserError: a config does not fit, or the folder cannot be used.
        """
        experiments = {seed: row_experiments(comparison, seed) for seed in _seeds(comparison)}
        dataset = _dataset(experiments)
        _check(comparison, experiments, dataset, folder, checked)
        rows = [_seedless(experiment) for experiment in experiments[comparison.seeds[0]].values()]
        return cls(comparison, folder, experiments, dataset, rows)

    def cells(self) -> list[Cell]:
        """Seed and row of every run: of all rows that are shown, and of others where a run starts from them.

        One that starts from another comes after it.
        """
        return _cells(self.comparison, self.experiments)

    def run(self, row: str, seed: int) -> Run:
        """The run of a row and seed, begun or not."""
        return Run(run_folder(self.folder, row, seed), self.experiments[seed][row])

    def source(self, row: str, seed: int) -> Run | None:
        """The run that this one starts from, if ``init_from`` names an earlier row."""
        cell = _source(self.comparison, self.experiments, (seed, row))
        return None if cell is None else self.run(cell[1], cell[0])

    def results(self, row: str, seed: int) -> dict[str, Run]:
        """The run at each operating point that is reported, by the name of the row of results; none of a hidden row."""
        run, points = self.run(row, seed), row_points(self.comparison, self.experiments[seed]).get(row, [])
        return {result_name(row, point): run if point is None else run.at(point) for point in points}

    def reported(self) -> dict[str, list[Run]]:
        """The runs of every row of results, one per seed, at its operating point."""
        runs: dict[str, list[Run]] = {}
        for row in shown_rows(self.comparison):
            for seed in self.comparison.seeds:
                for name, run in self.results(row, seed).items():
                    runs.setdefault(name, []).append(run)
        return runs

    def done(self, row: str, seed: int) -> bool:
        """Whether a run is trained and, where its row is shown, its deployed model scored."""
        run = self.run(row, seed)
        results = self.results(row, seed).values()
        return run.finished and all(each.scores(run.config.test_split, missing_ok=True) for each in results)

    def prepare(self) -> None:
        """Render or unpack the splits that the runs need."""
        first = next(iter(self.experiments[self.comparison.seeds[0]].values()))
        if processes.first():
            self.dataset.prepare(list(dict.fromkeys(["train", first.evaluate_split, first.test_split])))

    def train(self, row: str, seed: int, *, progress: bool = True) -> Run:
        """Train a run to its end, continuing where an earlier call stopped, and score its deployed model.

        The model of a row that is not shown is not scored: what starts from it has seen nothing of the test split.

        Raises:
            UserError: training failed, or a file cannot be written.
        """
        run, source, cells = self.run(row, seed), self.source(row, seed), self.cells()
        place = f"run {cells.index((seed, row)) + 1} of {len(cells)}"
        with self._turn(run):
            run = train_run(
                run.config,
                run.folder,
                dataset=self.dataset,
                start=source.folder if source else None,
                progress=progress,
                title=f"{row_text(self.comparison, row, 'title', row)}, {place}",
                checked=_seedless(run.config) in self.checked,
                remedy=partial(self._gentler, row),
            )
            for each in self.results(row, seed).values():
                split = run.config.test_split
                evaluate_run(each, split, dataset=self.dataset, progress=progress, quiet=True, reuse=True)
        return run

    def _turn(self, run: Run) -> AbstractContextManager[None]:
        """Beside other processes of a sweep; alone where a budget in milliseconds is measured before the training."""
        if run.finished or not (self.folder / CLAIMS).is_dir():
            return working(self.folder)
        timed = build(run.config, self.dataset).model.encoder.target_latency_ms is not None
        return measuring(self.folder) if timed else working(self.folder)

    def _gentler(self, row: str, _: Run) -> str:
        """What to do in the config after a row has diverged.

        All that the change concerns must be trained anew: the row's other seeds, the other points of its curve, and
        the rows that start from its weights.
        """
        rows = set(self.points) if row in self.points else {row}
        for name, experiment in self.experiments[self.comparison.seeds[0]].items():  # in order: a source comes first
            if experiment.start is not None and experiment.start.run in rows:
                rows.add(name)
        runs = [self.run(name, seed) for seed, name in self.cells() if name in rows]
        outdated = [run.folder for run in runs if run.checkpoint() is not None]
        if outdated and row in self.points:  # it holds what came of the points before the change
            outdated.append(self.folder / JOURNAL)
        return self.points.get(row, row_remedy(row)).text(outdated)


def _source(comparison: Comparison, grid: Mapping[int, Mapping[str, Experiment]], cell: Cell) -> Cell | None:
    """The run that a run starts from, if that is one of an earlier row."""
    seed, row = cell
    start = grid[seed][row].start
    if start is None or start.run not in comparison.rows:
        return None
    return (seed if start.seed is None else start.seed), start.run


def _cells(comparison: Comparison, grid: Mapping[int, Mapping[str, Experiment]]) -> list[Cell]:
    cells: dict[Cell, None] = {}

    def add(cell: Cell) -> None:
        source = _source(comparison, grid, cell)
        if source is not None:
            add(source)
        cells.setdefault(cell)

    rows = shown_rows(comparison)
    for seed, experiments in grid.items():
        for row in experiments:
            if row in rows:
                add((seed, row))
    return list(cells)


def _seeds(comparison: Comparison) -> list[int]:
    if not comparison.seeds or len(set(comparison.seeds)) != len(comparison.seeds):
        raise UserError(f"seeds must be one or more different numbers, but got {comparison.seeds!r}")
    return comparison.seeds


def _dataset(grid: Mapping[int, Mapping[str, Experiment]]) -> Dataset:
    """The one dataset of all rows; rows on different data cannot be compared."""
    experiments = next(iter(grid.values()))
    (first_name, first), *others = experiments.items()
    for name, other in others:
        for key in ("data", "image_size", "fit", "test_split"):
            if getattr(other, key) != getattr(first, key):
                raise UserError(f"rows of a comparison must agree in {key!r}, but {name!r} differs from {first_name!r}")
    return build_dataset(first)


def _check_photos(photos: Sequence[str]) -> None:
    for photo in photos:
        try:
            check_source(photo)
            read_photo(photo)
        except UserError as error:
            raise UserError(f"photos: {error}") from None


def _check(
    comparison: Comparison,
    grid: Mapping[int, Mapping[str, Experiment]],
    dataset: Dataset,
    folder: Path,
    checked: Sequence[Experiment],
) -> None:
    """Refuse what would otherwise come up after rows were trained, or at the very end.

    Raises:
        UserError: the first thing that does not fit.
    """
    check_folder(folder)
    positive("latency_rounds", comparison.latency_rounds)
    not_negative("step_rounds", comparison.step_rounds)
    for row in comparison.published:
        row.row()
    _check_photos(comparison.photos)
    check_shown(comparison, grid[comparison.seeds[0]])
    check_colours(comparison, grid[comparison.seeds[0]])
    scored: dict[str, dict[str, tuple[str, bool]]] = {}
    notes: list[str] = []
    for name, experiment in grid[comparison.seeds[0]].items():
        built = build(experiment, dataset)
        _check_start(name, experiment, built, list(grid[comparison.seeds[0]]))
        seeds = [seed for seed, row in _cells(comparison, grid) if row == name]
        finished = all(Run(run_folder(folder, name, seed), experiment).finished for seed in seeds)
        notes += _check_row(name, experiment, built, dataset, steps=not (finished or _seedless(experiment) in checked))
        if name in shown_rows(comparison):
            scored[name] = {
                task.name: (task.primary, task.higher_is_better) for task in built.tasks if not task.auxiliary
            }
    for name, tasks in scored.items():
        if tasks != scored[comparison.reference]:
            raise UserError(
                f"rows of a comparison must agree in what is scored, but {name!r} has {', '.join(tasks)} and the "
                f"reference {', '.join(scored[comparison.reference])}: give them the same 'tasks', or mark helpers "
                "as auxiliary"
            )
    for seed, experiments in grid.items():
        for name, experiment in experiments.items():
            Run.check(run_folder(folder, name, seed), experiment)
    if processes.first() and multiprocessing.parent_process() is None:  # the others of a sweep say the same
        print_notes(notes)


def _check_row(name: str, experiment: Experiment, built: Built, dataset: Dataset, *, steps: bool) -> list[str]:
    try:
        return check_training(experiment, built, dataset, steps=steps)
    except UserError as error:
        raise UserError(f"row {name!r}: {error}") from error


def _check_start(name: str, experiment: Experiment, built: Built, rows: Sequence[str]) -> None:
    """Check what a row takes from a run that is no row's; one of a row is made later."""
    start = experiment.start
    if start is None or start.run in rows:
        return
    if Path(start.run).name == start.run and not Path(start.run).exists():
        known(f"earlier row or run folder as init_from of {name!r}:", start.run, rows[: rows.index(name)])
    try:
        source = start_of(experiment)
        if source is not None:
            source.restructure(built.model)
    except UserError as error:
        raise UserError(f"row {name!r}: {error}") from error


def _seedless(experiment: Experiment) -> Experiment:
    """The experiment whatever its seed, which no check depends on."""
    return replace(experiment, seed=0)
