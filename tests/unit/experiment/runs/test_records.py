"""Records of runs that are damaged: read over from elsewhere, or refused with file and remedy in one line."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.runs import records
from frugalmtl.experiment.runs.run import Run
from tests.support.runs.damage import DAMAGES
from tests.support.runs.logs import warns_in_one_line

EARLIER = Path(__file__).parents[3] / "integration" / "data" / "earlier_runs" / "cross_stitch"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    records._warn.cache_clear()
    return Run.open(shutil.copytree(EARLIER, tmp_path / "run"))


def same(first: Any, second: Any) -> None:
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_log_is_read_from_the_checkpoint(damage: str, run: Run) -> None:
    whole = run.epochs()
    DAMAGES[damage](run.history)
    if damage == "NaN for numbers":
        run.history.write_text(run.history.read_text().replace('"epoch": 1,', '"epoch": NaN,'))
    with warns_in_one_line(r"log\.jsonl is missing or damaged: its epochs are read from .*final"):
        epochs = run.epochs()
        assert run.train_seconds() == pytest.approx(whole[-1]["seconds"], abs=1e-3)
    assert math.isnan(epochs[0]["seconds"])
    for record in (*whole, *epochs):
        for key in ("seconds", "event", "step"):
            record.pop(key, None)
    same(epochs, whole)


def test_a_log_to_which_two_processes_wrote_is_not_believed(run: Run) -> None:
    lines = run.history.read_text().splitlines()
    run.history.write_text("\n".join([*lines, lines[-1]]) + "\n")
    with warns_in_one_line("is missing or damaged"):
        assert [record["epoch"] for record in run.epochs()] == [0, 1]


def test_a_whole_log_is_read_as_it_is(run: Run) -> None:
    assert [record["seconds"] for record in run.epochs()] == [
        json.loads(line)["seconds"]
        for line in run.history.read_text().splitlines()
        if json.loads(line)["event"] == "epoch"
    ]


@pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - {"texts for numbers", "NaN for numbers"}))
def test_a_lost_environment_is_noted(damage: str, run: Run) -> None:
    DAMAGES[damage](run.folder / "environment.json")
    with warns_in_one_line(r"environment\.json is missing or damaged: the versions"):
        assert run.environment() == {}


@pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - {"NaN for numbers"}))
def test_damaged_scores_are_refused_with_the_remedy(damage: str, run: Run) -> None:
    DAMAGES[damage](run.folder / "scores-test.json")
    remedy = "does not exist" if damage == "missing" else "delete it"
    with pytest.raises(UserError, match=rf"scores-test\.json.*{remedy}"):
        run.scores("test")


def test_a_score_may_be_no_number(run: Run) -> None:
    DAMAGES["NaN for numbers"](run.folder / "scores-test.json")
    assert all(math.isnan(value) for values in run.scores("test").values() for value in values.values())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_of_the_network_is_refused_with_the_remedy(damage: str, run: Run) -> None:
    DAMAGES[damage](run.folder / "network.json")
    with pytest.raises(UserError, match=r"network\.json.*restore the file, or train again"):
        run.network()


@pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - {"missing", "NaN for numbers", "texts for numbers", "cut"}))
def test_a_damaged_config_is_refused_with_the_remedy(damage: str, run: Run) -> None:
    DAMAGES[damage](run.folder / "config.yaml")
    with pytest.raises(UserError, match=r"config\.yaml.*restore the file") as caught:
        Run.open(run.folder)
    assert "\n" not in str(caught.value)


def test_the_edited_config_of_a_finished_run_is_refused_by_key(run: Run, tmp_path: Path) -> None:
    from frugalmtl.experiment.runs.identity import require_unchanged

    require_unchanged(run.config, run.weights)
    run.config.seed = 5
    with pytest.raises(UserError, match=r"run was trained with seed 0, but its config says 5: restore it"):
        require_unchanged(run.config, run.weights)
