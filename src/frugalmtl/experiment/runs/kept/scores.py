"""Scores of a run's model, a file per split and operating point."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.files import write_text
from frugalmtl.core.names import path_part
from frugalmtl.core.types import Scores
from frugalmtl.evaluation.confusion import Confusion
from frugalmtl.evaluation.evaluator import Evaluation, Remarks
from frugalmtl.experiment.runs.records import read_kept


@dataclass(frozen=True)
class _Classes:
    """The file's content for one task: what :class:`~frugalmtl.evaluation.confusion.Confusion` holds, and its IoU."""

    iou: list[float]
    classes: list[str]
    counts: list[list[int]]


@dataclass
class KeptScores:
    """The kept scores of a run at one operating point.

    Attributes:
        folder: of the run.
        point: the operating point, a budget such as ``"0.2x"``; None for the model as it was trained.
    """

    folder: Path
    point: str | None = field(default=None, kw_only=True)

    @property
    def at_point(self) -> str:
        """What the names of files of this operating point end with; empty for the trained one."""
        return "" if self.point is None else f"@{self.point}"

    def scores_file(self, split: str) -> Path:
        """The file of the scores of a split."""
        return self._kept("scores", split)

    def write_scores(self, split: str, result: Evaluation) -> None:
        """Keep the scores of a split, and beside them the remarks on them and the confusion matrices of classes."""
        write_text(self._kept("remarks", split), json_text(result.remarks) + "\n")
        classes = {task: {"iou": each.iou(), **asdict(each)} for task, each in result.confusions.items()}
        if classes:
            write_text(self._kept("classes", split), json_text(classes, indent=None) + "\n")
        write_text(self.scores_file(split), json_text(result.scores) + "\n")

    def scores(self, split: str, *, missing_ok: bool = False) -> Scores:
        """The kept scores of a split; with ``missing_ok`` an empty mapping where there are none.

        Raises:
            UserError: the split was not evaluated, or the file is damaged.
        """
        path = self.scores_file(split)
        return {} if missing_ok and not path.exists() else read_kept(Scores, path)

    def remarks(self, split: str) -> Remarks:
        """The remarks on the kept scores of a split; none in a run of an earlier version.

        Raises:
            UserError: the file is damaged.
        """
        path = self._kept("remarks", split)
        return read_kept(Remarks, path) if path.exists() else {}

    def confusions(self, split: str) -> dict[str, Confusion]:
        """The confusion matrices of the tasks with classes; none in a run of an earlier version.

        Raises:
            UserError: the file is damaged.
        """
        path = self._kept("classes", split)
        if not path.exists():
            return {}
        records = read_kept(dict[str, _Classes], path)
        try:
            return {task: Confusion(record.classes, record.counts) for task, record in records.items()}
        except UserError as error:
            raise UserError(f"{path} is damaged ({error}): delete it; the next evaluation writes it again") from None

    def _kept(self, what: str, split: str) -> Path:
        return self.folder / f"{what}-{path_part('split', split)}{self.at_point}.json"
