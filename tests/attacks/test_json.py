"""JSON that nests deeper than Python's stack, or is no JSON, in every file of ours: one line, or a record left out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from frugalmtl.channels.times import LayerTimes
from frugalmtl.core.checks import UserError
from frugalmtl.core.disk.locks import HOLDER, _in_use
from frugalmtl.deployment.elsewhere import NetworkTimes
from frugalmtl.engine.checkpoints.folder import verified
from frugalmtl.engine.checkpoints.saved_run import facts_at_start, read_state
from frugalmtl.engine.logs.run_log import _step_of
from frugalmtl.experiment.runs.run import Run
from frugalmtl.export.safetensors import CONFIG_KEY, read_config
from frugalmtl.report.results import load_results
from tests.attacks.payloads import harmless
from tests.support.checkpoint_files import replace_file

TEXTS = {
    "deeper than the parser's stack": "[" * 10**5,
    "deeper than Python's stack": '{"a": ' * 2000 + "1" + "}" * 2000,
    "a number of 100,000 digits": "9" * 10**5,
    "cut": '{"a": ',
    "empty": "",
}
READERS: dict[str, Callable[[Path], Any]] = {
    "network.json": lambda run: Run.open(run).network(),
    "scores-test.json": lambda run: Run.open(run).scores("test"),
    "checkpoints/final/manifest.json": lambda run: verified(run / "checkpoints" / "final", "state.pt"),
    "results.json": lambda run: load_results(run / "results.json"),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", READERS)
def test_files_that_are_needed(name: str, text: str, run: Path, canary: Path) -> None:
    (run / name).write_text(TEXTS[text], encoding="utf-8")
    with harmless(canary), pytest.raises(UserError, match=Path(name).name) as caught:
        READERS[name](run)
    assert "Error" not in str(caught.value)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", [LayerTimes, NetworkTimes])
def test_tables_of_times(kind: type[LayerTimes | NetworkTimes], text: str, tmp_path: Path, canary: Path) -> None:
    file = tmp_path / "times.json"
    file.write_text(TEXTS[text], encoding="utf-8")
    with harmless(canary), pytest.raises(UserError, match=r"times\.json is damaged"):
        kind.read(file)


@pytest.mark.parametrize("text", TEXTS)
def test_records_that_another_place_holds(text: str, run: Path, canary: Path) -> None:
    (run / "environment.json").write_text(TEXTS[text], encoding="utf-8")
    (run / "log.jsonl").write_text(TEXTS[text] + "\n", encoding="utf-8")
    (run / HOLDER).write_text(TEXTS[text], encoding="utf-8")
    with harmless(canary):
        assert Run.open(run).environment() == {}
        assert [record["epoch"] for record in Run.open(run).epochs()] == [0, 1]
        assert "another process" in str(_in_use(run))
        assert _step_of(TEXTS[text]) == float("inf")


@pytest.mark.parametrize("text", TEXTS)
def test_texts_inside_of_a_checkpoint(text: str, run: Path, canary: Path) -> None:
    folder = run / "checkpoints" / "final"
    state = io.BytesIO()
    torch.save({**read_state(folder, set()), "identity": TEXTS[text], "history": TEXTS[text]}, state)
    replace_file(folder, "state.pt", state.getvalue())
    (run / "log.jsonl").unlink()
    with harmless(canary):
        with pytest.raises(UserError, match="how its training started"):
            facts_at_start(folder)
        with pytest.raises(UserError, match="does not hold its epochs"):
            Run.open(run).epochs()


@pytest.mark.parametrize("text", [*TEXTS.values(), "[1]"], ids=[*TEXTS, "a list"])
def test_the_config_in_exported_weights(text: str, tmp_path: Path, canary: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file({"w": torch.zeros(1)}, str(file), metadata={CONFIG_KEY: text})
    with harmless(canary), pytest.raises(UserError, match=r"weights\.safetensors"):
        read_config(file)


def test_bare_nan_of_earlier_runs_is_a_number_that_is_not_there(run: Path) -> None:
    scores = json.loads((run / "scores-test.json").read_text())
    task, metrics = next(iter(scores.items()))
    scores[task] = dict.fromkeys(metrics, float("nan"))
    (run / "scores-test.json").write_text(json.dumps(scores))
    assert "NaN" in (run / "scores-test.json").read_text()
    assert all(value != value for value in Run.open(run).scores("test")[task].values())
