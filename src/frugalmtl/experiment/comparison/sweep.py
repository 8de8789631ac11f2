"""Sweeps: a whole accuracy/cost curve in one call, by one process or several."""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch
from rich.console import Console

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.disk.locks import Locks
from frugalmtl.core.terminal import output_console, without_markup
from frugalmtl.data.coverage import require_labels
from frugalmtl.evaluation.aggregate import spread
from frugalmtl.evaluation.delta import delta_mtl
from frugalmtl.experiment.comparison.compare import compare
from frugalmtl.experiment.comparison.folder import kept_results
from frugalmtl.experiment.comparison.remedy import point_remedy
from frugalmtl.experiment.comparison.results import primary_scores
from frugalmtl.experiment.comparison.run_grid import RunGrid
from frugalmtl.experiment.comparison.trials import Trials
from frugalmtl.experiment.comparison.turns import CLAIMS, working
from frugalmtl.experiment.config.axis import Axis, Place
from frugalmtl.experiment.config.comparison import row_experiments
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.sweep import Sweep, expand, points
from frugalmtl.experiment.runs.build import build_tasks
from frugalmtl.experiment.runs.streams.images import SplitImages
from frugalmtl.experiment.runs.training import evaluate_run
from frugalmtl.report import Results

INSTALL = "pip install 'frugalmtl[sweep]'"
PAUSE = 1.0
"""Seconds between two looks at what the other processes have finished."""
GRACE = 10.0
"""Seconds that a worker has to end when it is asked to."""
INTERRUPTED = 130


def sweep(
    config: Sweep, folder: Path, *, workers: int = 1, progress: bool = True, console: Console | None = None
) -> Results:
    """Train the fixed rows and every point, continuing where an earlier call stopped; then report them together.

    Everything is checked before the first file is written. Values of a range are chosen by what came of earlier ones on
    ``evaluate_split``, not on the split that is reported. The same call may run several times at once on one folder:
    the processes share the work, run by run. Whatever was begun by a process that was killed is taken up by another.

    Args:
        config: the sweep.
        folder: as of :func:`~frugalmtl.experiment.comparison.compare.compare`; besides gets ``sweep.journal`` (an
            Optuna study) and ``claims/``.
        workers: processes that train, this one included; they share its threads evenly. Latencies are measured while
            none of them trains; a run whose budget is in milliseconds trains alone for that.
        progress: show progress bars (with one worker).
        console: where the table is printed.

    Raises:
        UserError: a config does not fit, the folder cannot be used, a library is missing, or a training failed.
    """
    require_sweep()
    positive("workers", workers)
    worker = Worker(config, folder, progress=progress and workers == 1)
    before = _stamp(folder)
    with _threads(workers), _other_workers(worker, workers - 1):
        worker.work()
    return worker.report(before, console or output_console(), progress=progress)


def require_sweep() -> None:
    """Check that the library of a sweep is there.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UserError(f"a sweep needs optuna, which is not installed: {INSTALL}")


class Worker:
    """One of the processes of a sweep.

    Args:
        config: the sweep.
        folder: of the sweep.
        progress: show progress bars.
        checked: see :meth:`RunGrid.of`.

    Raises:
        UserError: something does not fit; nothing has been written then.
    """

    def __init__(self, config: Sweep, folder: Path, *, progress: bool, checked: Sequence[Experiment] = ()) -> None:
        self.config = config
        self.folder = folder
        self.progress = progress
        self.locks = Locks(folder / CLAIMS)
        axis = config.sweep
        comparison = expand(config, axis.limits() if axis.places is None else axis.places)
        with working(folder):  # steps are taken here
            grid = RunGrid.of(comparison, folder, checked)
        for experiment in grid.experiments[config.seeds[0]].values():
            if experiment.train.devices != 1:
                raise UserError(
                    "a sweep trains each run in one process, but 'devices' is "
                    f"{experiment.train.devices}: set it to 1 and take several workers"
                )
        self.dataset = grid.dataset
        self.split = _judging_split(axis, grid)
        self.images = SplitImages(grid.dataset, self.split)
        self.checked = grid.checked
        self.trials = Trials(axis, folder, self.locks)
        self._grid = grid
        self._rows: dict[Place, str] | None = None

    def work(self) -> None:
        """Train whatever no other process trains, until all is done."""
        with self.locks.lock("data"), working(self.folder):
            self._grid.prepare()
        while not _orphaned():
            grid = self.grid()
            if self._train_one(grid):
                continue
            with working(self.folder):  # deployed networks are counted
                self.trials.tell(self._score)
            if self.trials.draw():
                continue
            grid = self.grid()  # another process may have drawn the last value since, and train it
            if all(grid.done(row, seed) for seed, row in grid.cells()):
                return
            time.sleep(PAUSE)

    def grid(self) -> RunGrid:
        """The runs of the fixed rows and of the values drawn so far."""
        values = self.trials.values()
        if self._rows is None or values != list(self._rows):
            comparison = expand(self.config, values)
            experiments = {seed: row_experiments(comparison, seed) for seed in comparison.seeds}
            self._rows = {value: name for name, (value, _) in points(self.config, values).items()}
            remedies = {name: point_remedy(self.config.sweep, value) for value, name in self._rows.items()}
            self._grid = RunGrid(comparison, self.folder, experiments, self.dataset, self.checked, remedies)
        return self._grid

    def report(self, before: int, console: Console, *, progress: bool) -> Results:
        """Evaluate, measure and report, unless another process did so since ``before``."""
        with self.locks.lock("report"):
            comparison = self.grid().comparison
            results = kept_results(self.folder) if _stamp(self.folder) != before else None
            if results is not None and [row.name for row in results.rows] == list(self.grid().reported()):
                console.print(f"report: {without_markup(self.folder / 'report.html')}, made by another worker")
                return results
            results = compare(comparison, self.folder, progress=progress, console=console)
            if self.config.sweep.places is None:
                words = f"values were chosen by Delta_MTL and multiply-adds on split {self.split!r}"
                if self.split == results.protocol.split:
                    words += ", which is reported as well: name another evaluate_split to choose on other images"
                console.print(without_markup(words), highlight=False)
            return results

    def _train_one(self, grid: RunGrid) -> bool:
        """Train the first run that is open and that nobody holds; says whether there was one."""
        for seed, row in grid.cells():
            run, source = grid.run(row, seed), grid.source(row, seed)
            if grid.done(row, seed) or (source is not None and not source.finished):
                continue
            with self.locks.try_lock(run.folder.name) as free:
                if free and not grid.done(row, seed):
                    try:
                        grid.train(row, seed, progress=self.progress)
                    except UserError as error:  # several processes train: name the run
                        raise UserError(f"{run.folder}: {error}") from error
                    return True
        return False

    def _score(self, value: Place) -> tuple[float, float] | None:
        """Delta_MTL and deployed multiply-adds of a value's row on the split that values are judged on, means over the
        seeds and the operating points; nothing while it trains.
        """
        grid, rows = self._grid, self._rows or {}
        if value not in rows:  # another process has drawn it just now
            return None
        names, seeds = (rows[value], grid.comparison.reference), grid.comparison.seeds
        if not all(grid.done(name, seed) for name in names for seed in seeds):
            return None
        gains, costs = [], []
        pairs = [(run, grid.run(names[1], seed)) for seed in seeds for run in grid.results(names[0], seed).values()]
        for point, reference in pairs:
            tasks = [task for task in point.network().tasks if not task.auxiliary]
            for run in (point, reference):
                evaluate_run(run, self.split, dataset=self.dataset, progress=False, quiet=True, reuse=True)
            scores, single = (primary_scores(run, self.split, tasks) for run in (point, reference))
            directions = {task.name: task.higher_is_better for task in tasks}
            gains.append(delta_mtl(scores, single, directions) if all(single.values()) else math.nan)
            costs.append(point.cost(images=self.images).macs)
        return spread(gains).mean, spread(costs).mean


def _judging_split(axis: Axis, grid: RunGrid) -> str:
    """The split by whose scores further values are chosen: of a range ``evaluate_split``, which is not reported.

    Values of a list or a grid are not chosen: their scores are those that are reported.

    Raises:
        UserError: a task has no label there.
    """
    config = grid.experiments[grid.comparison.seeds[0]][grid.comparison.reference]
    if axis.places is not None:
        return config.test_split
    tasks = [task.name for task in build_tasks(config, grid.dataset) if not task.auxiliary]
    require_labels(grid.dataset, tasks, [config.evaluate_split])
    return config.evaluate_split


def _stamp(folder: Path) -> int:
    """When the report was written, in the file system's own time; 0 if never."""
    path = folder / "report.html"
    return path.stat().st_mtime_ns if path.exists() else 0


@contextmanager
def _threads(workers: int) -> Iterator[None]:
    """This process's share of the threads; all of them again afterwards, for the latencies."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _other_workers(worker: Worker, count: int) -> Iterator[None]:
    """So many more workers; they end when there is nothing left to do, and are stopped if this one fails.

    Ctrl-C reaches all processes of a terminal, but is this one's to answer: it stops the others.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process in which torch has run may hang
    task = (worker.config, worker.folder, torch.get_num_threads(), worker.checked)
    helpers = [context.Process(target=_work_beside, args=task, name=f"worker {number + 2}") for number in range(count)]
    try:
        with _interrupts_wait():
            for helper in helpers:
                helper.start()
        yield
        for helper in helpers:
            helper.join()
    except BaseException:
        _stop([helper for helper in helpers if helper.pid is not None])
        raise


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block; processes that are started in it never see one."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: workers answer it themselves
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(helpers: Sequence[SpawnProcess]) -> None:
    for helper in helpers:
        helper.terminate()
    for helper in helpers:
        helper.join(GRACE)
        if helper.is_alive():
            helper.kill()
            helper.join()


def _work_beside(config: Sweep, folder: Path, threads: int, checked: Sequence[Experiment]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))  # so that processes that load data are ended too
    torch.set_num_threads(threads)
    try:
        Worker(config, folder, progress=False, checked=checked).work()
    except UserError as error:
        print(f"frugalmtl: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # one that comes now would break what runs at the exit
            signal.signal(number, signal.SIG_IGN)


def _orphaned() -> bool:
    """Whether the process that started this worker is gone; its work waits for the next call then."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()
