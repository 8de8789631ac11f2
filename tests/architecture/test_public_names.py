"""The names that users import are a decision, not an accident."""

from __future__ import annotations

import subprocess
import sys

import pytest

import frugalmtl
from frugalmtl.cli.main import COMMANDS


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


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_loads_no_large_library(command: str) -> None:
    code = (
        "import sys\n"
        "from frugalmtl.cli.main import main\n"
        "try:\n"
        f"    main(['{command}', '--help'])\n"
        "except SystemExit:\n"
        "    print(*sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'timm', 'matplotlib'}))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.startswith(f"usage: frugalmtl {command}")
    assert output.splitlines()[-1] == ""


def test_deploy_is_the_function_whatever_was_imported_before() -> None:
    code = (
        "import frugalmtl.deployment, frugalmtl.experiment.comparison.compare\n"
        "from frugalmtl import compare, deploy, sweep\n"
        "print(*(type(item).__name__ for item in (compare, deploy, sweep)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["function"] * 3
