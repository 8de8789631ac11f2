"""A claim has one holder and ends with it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.comparison.claims import Claims, require_sweep

HOLDER = """
import sys, time
from pathlib import Path
from frugalmtl.experiment.comparison.claims import Claims
with Claims(Path(sys.argv[1])).attempt("run") as free:
    print(free, flush=True)
    time.sleep(60)
"""


def test_a_claim_ends_when_its_holder_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "True"
        with Claims(tmp_path).attempt("run") as free, Claims(tmp_path).attempt("other") as other:
            assert not free
            assert other
        holder.kill()
        holder.wait()
    with Claims(tmp_path).attempt("run") as free:
        assert free


def test_a_claim_is_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with Claims(tmp_path).attempt("run") as free:
            assert free
        with Claims(tmp_path).hold("run"):
            pass


def test_a_missing_library_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else found(name))
    with pytest.raises(UserError, match=r"needs optuna.*pip install 'frugalmtl\[sweep\]'"):
        require_sweep()
