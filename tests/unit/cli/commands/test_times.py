"""``frugalmtl times``: the table that it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.channels.times import LayerTimes
from frugalmtl.cli.main import main
from frugalmtl.evaluation.cost import layer_times

CONFIG = "{image_size: [64, 64], tasks: [{kind: depth}], backbone: {name: cifar_resnet, depth: 8, shortcut: B}}"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config of a small backbone, whose layers are timed for a moment."""
    monkeypatch.setattr(layer_times, "MOST_ROUNDS", 1)
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    return file


def test_a_table_is_written(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "times.json"
    assert main(["times", "--config", str(config), "--out", str(out), "--batch", "2"]) == 0
    table = LayerTimes.read(out)
    assert table.batch == 2
    assert (table.machine.device, table.machine.runtime) == ("cpu", "eager")
    assert f"{len(table.timings)} layers, batch 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runtime", "graph"], "captures CUDA graphs"),
        (["--runtime", "onnxruntime", "--dtype", "bfloat16"], "in float32 alone"),
        (["--batch", "0"], "batch"),
        (["--threads", "0"], "threads"),
        (["--backbone", "{name: timm, model: test_nfnet}"], "on channels is not known"),
    ],
)
def test_mistakes_are_one_line(
    flags: list[str], message: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "times.json"
    assert main(["times", "--config", str(config), "--out", str(out), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
