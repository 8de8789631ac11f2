"""The folder of a comparison, told from one that holds something else."""

from __future__ import annotations

import re
from pathlib import Path

from frugalmtl.core.checks import UserError
from frugalmtl.core.terminal import visible
from frugalmtl.experiment.runs.folder import CONFIG
from frugalmtl.report import Results, load_results

RUNS = "runs"
RESULTS = "results.json"
_WRITTEN = (RESULTS, "report.html", "figures", "predictions")
"""What a report overwrites."""
_RUN = re.compile(r".+-seed-?\d+")


def run_folder(folder: Path, row: str, seed: int) -> Path:
    """Where the run of a row and seed lies."""
    return folder / RUNS / f"{row}-seed{seed}"


def check_folder(folder: Path) -> None:
    """Whether a comparison can be made in a folder, or go on there; nothing is written.

    Raises:
        UserError: it is a file, or holds a report or pictures of something else.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{visible(folder)} is a file: choose a folder")
    lost = [name for name in _WRITTEN if (folder / name).exists()]
    if lost and not _has_runs(folder) and kept_results(folder) is None:
        raise UserError(
            f"{visible(folder)} holds {' and '.join(lost)} but no comparison: choose another folder, so that nothing "
            "is overwritten"
        )


def _has_runs(folder: Path) -> bool:
    return any(_RUN.fullmatch(path.parent.name) for path in (folder / RUNS).glob(f"*/{CONFIG}"))


def kept_results(folder: Path) -> Results | None:
    """The results of the last report, if the file is there and whole."""
    try:
        return load_results(folder / RESULTS)
    except UserError:
        return None
