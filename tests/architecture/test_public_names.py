"""The names that users import are a decision, not an accident."""

from __future__ import annotations

import subprocess
import sys

import frugalmtl


def test_public_names_can_be_imported() -> None:
    assert set(frugalmtl.__all__) == {*frugalmtl._HOMES, "__version__"}
    for name in frugalmtl.__all__:
        assert getattr(frugalmtl, name) is not None


def test_importing_the_package_is_quick() -> None:
    code = "import sys, frugalmtl; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
