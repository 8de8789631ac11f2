"""The environment that a command sets before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from frugalmtl.cli.main import main, wait_passively

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(os, "environ", {key: value for key, value in os.environ.items() if key not in NAMES})
    return monkeypatch


@pytest.mark.usefixtures("unset")
def test_threads_wait_passively_in_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize("name", NAMES)
def test_what_the_user_says_stands(unset: pytest.MonkeyPatch, name: str) -> None:
    unset.setitem(os.environ, name, "7")  # type: ignore[arg-type]
    wait_passively()
    assert {key: os.environ.get(key) for key in NAMES} == {**dict.fromkeys(NAMES), name: "7"}


def test_neither_the_library_nor_the_command_loads_torch_before() -> None:
    """Importing the library leaves the environment alone; the command sets it before it imports torch."""
    code = (
        "import os, sys, frugalmtl, frugalmtl.cli.main as command\n"
        "assert 'torch' not in sys.modules and 'OMP_WAIT_POLICY' not in os.environ\n"
        "command.main(['--version'])\n"
        "assert 'torch' not in sys.modules and os.environ['OMP_WAIT_POLICY'] == 'passive'\n"
    )
    environment = {key: value for key, value in os.environ.items() if key not in NAMES}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
