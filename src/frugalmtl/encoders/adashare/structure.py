"""Structure of an AdaShare network as plain values: its policy, the run probabilities behind it, and the blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from frugalmtl.core.checks import UserError, shown
from frugalmtl.encoders.adashare.budget import Mask, Odds


def written_structure(policy: Mask, probability: Odds, tasks: Sequence[str], blocks: Sequence[str]) -> dict[str, Any]:
    """``{"policy": {task: [0 or 1 per block]}, "run_probability": {task: [P(run) per block]}, "blocks": [names]}``.

    Args:
        policy: ``[T, L]``.
        probability: ``P(run)``, ``[T, L]``.
        tasks: their names.
        blocks: names of the gated blocks.
    """
    return {
        "policy": {task: [int(runs) for runs in row] for task, row in zip(tasks, policy, strict=True)},
        "run_probability": {task: [float(p) for p in row] for task, row in zip(tasks, probability, strict=True)},
        "blocks": list(blocks),
    }


def read_structure(structure: Mapping[str, Any], tasks: Sequence[str], blocks: Sequence[str]) -> tuple[Mask, Odds]:
    """Policy and run probabilities, each ``[T, L]``, from what :func:`written_structure` gave.

    Raises:
        UserError: it is no structure of AdaShare, or one of other tasks or blocks.
    """
    names = structure.get("blocks")
    if not {"policy", "run_probability", "blocks"} <= structure.keys() or not isinstance(names, list):
        raise UserError(
            f"a structure of AdaShare has the keys policy, run_probability and blocks, but this one has "
            f"{shown(', '.join(map(str, structure)))}: take it from a run of encoder adashare"
        )
    if names != list(blocks):
        pairs = enumerate(zip(names, blocks, strict=False), start=1)
        unlike = (
            f" (number {number} is {shown(other)}, not {here})" for number, (other, here) in pairs if other != here
        )
        where = next(unlike, "")
        raise UserError(
            f"the structure is of {len(names)} gated blocks and this backbone has {len(blocks)}{where}: "
            "use the backbone of the run that it is taken from"
        )
    policy = _rows("policy", structure["policy"], tasks, len(blocks))
    if not np.isin(policy, (0.0, 1.0)).all():
        raise UserError("the structure's policy must hold 0 (skip) and 1 (run) alone")
    return policy == 1.0, _rows("run_probability", structure["run_probability"], tasks, len(blocks))


def _rows(key: str, rows: object, tasks: Sequence[str], blocks: int) -> Odds:
    if not isinstance(rows, Mapping) or set(rows) != set(tasks):
        names = ", ".join(map(str, rows)) if isinstance(rows, Mapping) else shown(rows)
        raise UserError(
            f"the structure's {key} is of the tasks {shown(names)}, but this model's are {', '.join(tasks)}: "
            "take it from a run of the same tasks"
        )
    for task in tasks:
        row = rows[task]
        numbers = isinstance(row, list) and all(isinstance(item, int | float) and 0 <= item <= 1 for item in row)
        if not numbers or len(row) != blocks:
            raise UserError(f"the structure's {key} of {task!r} must be {blocks} numbers in [0, 1], not {shown(row)}")
    return np.array([rows[task] for task in tasks], dtype=np.float64).reshape(len(tasks), blocks)
