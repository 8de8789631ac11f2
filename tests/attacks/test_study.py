"""The journal of a sweep from somebody else: lines of JSON that are no operations, and pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.disk.locks import Locks
from frugalmtl.experiment.comparison.trials import JOURNAL, Trials
from frugalmtl.experiment.config.axis import Axis
from tests.attacks.payloads import harmless, pickled

START = {"op_code": 0, "worker_id": "w", "study_name": "encoder.own [0.5]", "directions": [2, 1]}
JOURNALS: dict[str, bytes] = {
    "no JSON": b"x\n",
    "no operations": b"[1]\n{}\n",
    "unknown operation": b'{"op_code": 99, "worker_id": "w"}\n',
    "deep": b"[" * 100_000 + b"\n",
    "class of a distribution": json.dumps(START).encode()
    + b"\n"
    + json.dumps(
        {
            "op_code": 4,
            "worker_id": "w",
            "study_id": 0,
            "datetime_start": "2026-01-01T00:00:00",
        }
    ).encode()
    + b"\n"
    + json.dumps(
        {
            "op_code": 5,
            "worker_id": "w",
            "trial_id": 0,
            "param_name": "encoder.own",
            "param_value_internal": 0,
            "distribution": json.dumps({"name": "os.system", "attributes": {"command": "x"}}),
        }
    ).encode()
    + b"\n",
}


@pytest.mark.parametrize("kind", [*JOURNALS, "pickle"])
def test_journals(kind: str, tmp_path: Path, canary: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(JOURNALS.get(kind, pickled(canary) + b"\n"))
    trials: Any = Trials(Axis("encoder.own", values=[0.5]), tmp_path, Locks(tmp_path / "claims"))
    with harmless(canary), pytest.raises(UserError, match="cannot be read"):
        trials.values()
