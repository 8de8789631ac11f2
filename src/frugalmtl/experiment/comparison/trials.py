"""The values of a sweep: an Optuna study in a file that several processes share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from frugalmtl.core.checks import UserError
from frugalmtl.core.disk.locks import Locks
from frugalmtl.core.seeding import derive_seed
from frugalmtl.experiment.config.axis import Axis, Place, Value

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial

Objective = Callable[[Place], tuple[float, float] | None]
JOURNAL = "sweep.journal"


class Trials:
    """The values of a sweep, and what came of them.

    The study lies in an append-only journal, which outlives a killed process. Every use of it is made under one lock,
    so two processes never draw at the same time and no value is drawn twice by chance. A trial's values are
    (Delta_MTL, multiply-adds of the deployed model). Values to try are drawn

    * from a list, or from the combinations of a grid, each as one value, by Optuna's ``GridSampler``;
    * from a range by its ``TPESampler`` with both objectives: a third of the trials (at most ten, at least one) at
      random first, which is our choice. Each trial's seed comes from the axis' seed and the number of trials before
      it, so a sweep that was interrupted draws what it would have drawn anyway.

    Args:
        axis: what varies.
        folder: of the sweep.
        locks: of the sweep.
    """

    def __init__(self, axis: Axis, folder: Path, locks: Locks) -> None:
        self.axis = axis
        self.path = folder / JOURNAL
        self.locks = locks

    def values(self) -> list[Place]:
        """The values drawn so far, each once: in the order of the list or grid, or in the order they were drawn."""
        with self._study() as study:
            drawn = [self.axis.place_of(code) for code in self._codes(study)]
        if self.axis.places is not None:
            return [place for place in self.axis.places if place in drawn]
        return drawn

    def draw(self) -> bool:
        """Draw one more value if there are any left; says whether it did."""
        from optuna.trial import TrialState

        with self._study() as study:
            drawn = self._drawn(study)
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if self.axis.name not in trial.params:  # its process was killed while it drew
                    study.tell(trial.number, state=TrialState.FAIL)
            if len(drawn) >= self.axis.count:
                return False
            study.sampler = self._sampler(study)
            trial_drawn = study.ask()
            if self.axis.places is not None:
                trial_drawn.suggest_categorical(self.axis.name, [self.axis.code(place) for place in self.axis.places])
                return True
            low, high = self.axis.limits()
            if isinstance(low, int) and isinstance(high, int):
                trial_drawn.suggest_int(self.axis.name, low, high, log=self.axis.log)
            else:
                trial_drawn.suggest_float(self.axis.name, low, high, log=self.axis.log)
            return True

    def tell(self, score: Objective) -> None:
        """Note what came of every value that has been trained since.

        Args:
            score: value -> (Delta_MTL, multiply-adds), or ``None`` while it is in training. Where there is no Delta_MTL
                (NaN) the trial counts as failed: it keeps its place, and teaches the search nothing.
        """
        from optuna.trial import TrialState

        with self._study() as study:
            waiting = [trial.params[self.axis.name] for trial in self._drawn(study) if not trial.state.is_finished()]
        scored = {code: scores for code in waiting if (scores := score(self.axis.place_of(code))) is not None}
        if not scored:
            return
        with self._study() as study:
            for trial in self._drawn(study):
                values = None if trial.state.is_finished() else scored.get(trial.params[self.axis.name])
                if values is None:
                    continue
                if math.isnan(values[0]):
                    study.tell(trial.number, state=TrialState.FAIL)
                else:
                    study.tell(trial.number, list(values))

    def _sampler(self, study: Study) -> BaseSampler:
        from optuna.samplers import GridSampler, TPESampler

        drawn = self._codes(study)
        if self.axis.places is not None:
            # A new grid of the undrawn values for every draw: the sampler counts a point of a killed draw as seen.
            undrawn = [code for code in map(self.axis.code, self.axis.places) if code not in drawn]
            return GridSampler({self.axis.name: undrawn}, seed=self.axis.seed)
        count = len(self._drawn(study))
        return TPESampler(
            seed=derive_seed(self.axis.seed, "sweep", count) % (1 << 32),
            n_startup_trials=max(1, min(10, self.axis.count // 3)),
        )

    def _drawn(self, study: Study) -> list[FrozenTrial]:
        drawn = [trial for trial in study.get_trials(deepcopy=False) if self.axis.name in trial.params]
        for trial in drawn:
            self.axis.place_of(trial.params[self.axis.name])  # raises if it is none
        return drawn

    def _codes(self, study: Study) -> list[Value]:
        return list(dict.fromkeys(trial.params[self.axis.name] for trial in self._drawn(study)))

    @contextmanager
    def _study(self) -> Iterator[Study]:
        """The study, as it stands in the file, for this process alone."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self.locks.lock("study"):
            try:
                _mend(self.path)
                storage = JournalStorage(JournalFileBackend(str(self.path), JournalFileOpenLock(str(self.path))))
                name = self._name()
                if name in optuna.get_all_study_names(storage):  # to ask first keeps the journal from growing
                    study = optuna.load_study(study_name=name, storage=storage)
                else:
                    study = optuna.create_study(study_name=name, storage=storage, directions=["maximize", "minimize"])
                yield study
            except UserError:
                raise
            except Exception as error:  # Optuna checks no line of its journal: each malformed one has its own
                raise UserError(
                    f"{self.path} cannot be read ({error!r}): delete it; finished runs are found again"
                ) from None

    def _name(self) -> str:
        """What the study is called: another axis in the same folder is another study."""
        axis = self.axis
        if axis.grid is not None:
            return f"grid {json.dumps(axis.grid)}"
        through = axis.values if axis.values is not None else [axis.low, axis.high, axis.log, axis.seed]
        return f"{axis.name} {json.dumps(through)}"


def _mend(path: Path) -> None:
    """Remove what a process left that was killed while it wrote: half a line, a lock. Only under the lock."""
    Path(f"{path}.lock").unlink(missing_ok=True)
    content = path.read_bytes() if path.exists() else b""
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
