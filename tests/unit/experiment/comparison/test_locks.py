"""Locks: one holder each, and none after its process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.comparison.locks import Locks
from frugalmtl.experiment.comparison.sweep import require_sweep

HOLDER = """
import sys, time
from pathlib import Path
from frugalmtl.experiment.comparison.locks import Locks
with Locks(Path(sys.argv[1])).try_lock("run") as free:
    print(free, flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_when_its_holder_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "True"
        with Locks(tmp_path).try_lock("run") as free, Locks(tmp_path).try_lock("other") as other:
            assert not free
            assert other
        holder.kill()
        holder.wait()
    with Locks(tmp_path).try_lock("run") as free:
        assert free


def test_a_lock_is_free_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with Locks(tmp_path).try_lock("run") as free:
            assert free
        with Locks(tmp_path).lock("run"):
            pass


def test_a_missing_library_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else find_spec(name))
    with pytest.raises(UserError, match=r"needs optuna.*pip install 'frugalmtl\[sweep\]'"):
        require_sweep()
