"""Arguments of ``frugalmtl profile``: what the config of a comparison does not take."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.cli.commands.profile import parser
from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.comparison import Comparison

CONFIG = "base: {tasks: [{kind: depth}]}\nrows: {a: {}, b: {}}\nreference: a\n"


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "config.yaml").write_text(CONFIG)
    return str(tmp_path / "config.yaml")


@pytest.mark.parametrize("flag", ["--rounds 0", "--rounds 3", "--graph", "--onnxruntime", "--device cuda", "--seed 1"])
def test_rows_of_a_comparison_are_not_timed_together(config: str, flag: str) -> None:
    with pytest.raises(UserError, match="the rows of a comparison are counted as they stand, and not timed: name one"):
        parser().parse_args(["--config", config, *flag.split()])


def test_a_comparison_is_counted_and_one_row_of_it_is_an_experiment(config: str) -> None:
    assert isinstance(parser().parse_args(["--config", config]).settings, Comparison)
    parsed = parser().parse_args(["--config", config, "--row", "b", "--rounds", "3", "--onnxruntime"])
    assert (parsed.settings.name, parsed.rounds) == ("b", 3)
