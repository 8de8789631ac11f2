"""Scores of a run's model, a file per split and operating point."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.files import write_text
from frugalmtl.core.names import path_part
from frugalmtl.core.types import Scores
from frugalmtl.evaluation.evaluator import Evaluation, Remarks
from frugalmtl.experiment.runs.records import read_kept


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
        """Keep the scores of a split, and beside them the remarks on them."""
        write_text(self._kept("remarks", split), json_text(result.remarks) + "\n")
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

    def _kept(self, what: str, split: str) -> Path:
        return self.folder / f"{what}-{path_part('split', split)}{self.at_point}.json"
