"""Loggers: the figures of the log for other programs, read back from what these wrote."""

from __future__ import annotations

import csv
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.loggers import LOGGERS
from frugalmtl.engine.loggers.base import LogPlace, require_loggers
from frugalmtl.engine.logs.run_log import FILE, RunLog
from tests.support.tiny_training import Interrupted, run, stop_after


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "loggers" / "csv" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


def score(_: object) -> dict[str, dict[str, float]]:
    return {"depth": {"rmse": 2.5}}


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def test_a_table_holds_every_figure_of_the_log(tmp_path: Path) -> None:
    run(tmp_path, "stitched", loggers=["csv"], evaluate=score, evaluate_every=2, log_every=2)
    rows, records = table(tmp_path), log(tmp_path)
    assert [int(row["step"]) for row in rows] == [record["step"] for record in records]
    columns = {
        "step/losses/depth",
        "step/learning_rates/group1",
        "step/lr_factor",
        "epoch/losses/depth",
        "epoch/scores/depth/rmse",
        "epoch/statistics/units",
    }
    assert columns <= set(rows[0])
    for row, record in zip(rows, records, strict=True):
        for name, value in record["losses"].items():
            assert float(row[f"{record['event']}/losses/{name}"]) == pytest.approx(value)
    evaluated = [row["epoch/scores/depth/rmse"] for row in rows if row["epoch/scores/depth/rmse"]]
    assert evaluated == ["2.5", "2.5"]


def test_the_table_of_a_resumed_run_reads_as_if_it_had_not_been_interrupted(tmp_path: Path) -> None:
    run(tmp_path / "whole", loggers=["csv"])
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", loggers=["csv"], on_step=stop_after(13))
    run(tmp_path / "parts", loggers=["csv"])
    whole, parts = table(tmp_path / "whole"), table(tmp_path / "parts")
    times = ("step/seconds", "epoch/seconds")
    assert [{k: v for k, v in row.items() if k not in times} for row in parts] == [
        {k: v for k, v in row.items() if k not in times} for row in whole
    ]


@pytest.mark.parametrize("settings", [{"tensorboard": True}, {"loggers": ["tensorboard"]}], ids=str)
def test_tensorboard_has_the_same_figures(settings: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(Interrupted):
        run(tmp_path, **settings, on_step=stop_after(13))
    result = run(tmp_path, **settings)[2]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    actual = events.Scalars("epoch/losses/depth")
    assert [event.step for event in actual] == [5, 10, 15, 20]
    assert [event.value for event in actual] == pytest.approx([one["losses"]["depth"] for one in result.history])
    rates = [event.value for event in events.Scalars("step/learning_rates/group1")]
    assert len(rates) == 20
    assert rates[0] == pytest.approx(0.01)


@pytest.mark.slow
def test_wandb_keeps_the_figures_of_a_run_in_its_folder(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    pytest.importorskip("pytorch_lightning")
    section = {"name": "wandb", "offline": True, "project": "tiny", "tags": ["test"]}
    with pytest.raises(Interrupted):
        run(tmp_path, loggers=[section], on_step=stop_after(13))
    run(tmp_path, loggers=[section])
    folders = sorted((tmp_path / "loggers" / "wandb").glob("offline-run-*"))
    identifier = json.loads((tmp_path / "loggers" / "identifiers.json").read_text())["wandb"]
    assert len(folders) == 2, "one at every start, of one run"
    assert all(folder.name.endswith(identifier) for folder in folders)
    assert all(next(folder.glob("run-*.wandb")).stat().st_size > 1000 for folder in folders)


@pytest.mark.slow
def test_mlflow_keeps_the_figures_of_a_run_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("pytorch_lightning")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    section = {"name": "mlflow", "experiment": "tiny"}
    with pytest.raises(Interrupted):
        run(tmp_path, loggers=[section], on_step=stop_after(13))
    result = run(tmp_path, loggers=[section])[2]
    identifier = json.loads((tmp_path / "loggers" / "identifiers.json").read_text())["mlflow"]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'loggers' / 'mlflow.db'}")
    by_step = {one.step: one.value for one in client.get_metric_history(identifier, "epoch/losses/depth")}
    assert by_step == pytest.approx({5 * (n + 1): one["losses"]["depth"] for n, one in enumerate(result.history)})
    assert client.get_metric_history(identifier, "step/losses/segmentation.initial")
    assert client.get_run(identifier).info.status == "FINISHED"
    assert client.get_run(identifier).data.params["train.epochs"] == "4"


class FakeLogger:
    """Stands for a logger of Lightning: keeps what it gets."""

    every: list[FakeLogger] = []  # noqa: RUF012 (of all tests)

    def __init__(self, **options: Any) -> None:
        self.options, self.figures, self.events = options, [], list[str]()
        self.experiment, self.run_id = self, options.get("run_id") or "run-7"
        FakeLogger.every.append(self)

    def log_hyperparams(self, facts: dict[str, Any]) -> None:
        self.events.append(f"facts {facts['train.epochs']}")

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.figures.append((step, metrics))

    def save(self) -> None:
        self.events.append("save")

    def finalize(self, status: str) -> None:
        self.events.append(status)

    def finish(self, exit_code: int) -> None:
        self.events.append(f"exit {exit_code}")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[FakeLogger]:
    """Modules in the place of Lightning's loggers of servers, which are not installed for these tests."""
    loggers = types.ModuleType("pytorch_lightning.loggers")
    loggers.WandbLogger = loggers.MLFlowLogger = FakeLogger  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, "pytorch_lightning.loggers", loggers)
    monkeypatch.setattr("frugalmtl.engine.loggers.base.find_spec", lambda _: object())
    monkeypatch.setattr(FakeLogger, "every", [])
    return FakeLogger.every


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_run_that_goes_on_is_the_same_on_a_server(name: str, fake: list[FakeLogger], tmp_path: Path) -> None:
    key = "version" if name == "wandb" else "run_id"
    with pytest.raises(Interrupted):
        run(tmp_path, loggers=[name], on_step=stop_after(7))
    run(tmp_path, loggers=[name])
    first, second = fake
    assert first.events[:2] == ["facts 4", "save"]
    assert first.events[-1] == ("exit 1" if name == "wandb" else "failed")
    assert second.events[-1] == ("exit 0" if name == "wandb" else "success")
    assert second.options[key] == (first.options[key] if name == "wandb" else "run-7")
    assert [step for step, values in second.figures if "epoch/losses/depth" in values] == [10, 15, 20]
    initial = "segmentation.initial" if name == "mlflow" else "segmentation@initial"
    assert math.isfinite(second.figures[0][1][f"step/losses/{initial}"])


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        ("log_hyperparams", "logger 'mlflow' cannot begin: no route to host: check its options"),
        ("log_metrics", "logger 'mlflow' cannot write: no route to host: run the same command again"),
    ],
)
def test_what_a_server_refuses_is_said_in_one_line(
    moment: str, message: str, fake: list[FakeLogger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(FakeLogger, moment, refuse)
    with pytest.raises(UserError, match=message):
        run(tmp_path, loggers=[{"name": "mlflow", "tracking_uri": "http://nowhere"}])


@pytest.mark.parametrize("name", LOGGERS.names())
def test_what_is_not_installed_is_said_before_anything_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frugalmtl.engine.loggers.base.find_spec", lambda _: None)
    needs = LOGGERS.fact(name, "needs")
    if not needs:
        require_loggers([name])
        return
    extra = next(iter(needs.values()))
    with pytest.raises(UserError, match=rf"logger '{name}' needs .*: run pip install 'frugalmtl\[{extra}\]'"):
        run(tmp_path, loggers=[name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (["cvs"], "unknown logger 'cvs': .* Did you mean 'csv'"),
        ([{"name": "wandb", "projekt": "x"}], "Did you mean 'project'"),
        (["csv", {"name": "csv"}], "each logger may stand once in 'loggers', but 'csv' stands there again"),
    ],
)
def test_sections_are_checked(sections: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainSettings(loggers=sections)
    assert TrainSettings(loggers=["csv"], tensorboard=True).log_sections == ["csv", "tensorboard"]
    assert TrainSettings(loggers=["tensorboard"], tensorboard=True).log_sections == ["tensorboard"]


def test_damaged_identifiers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loggers").mkdir()
    (tmp_path / "loggers" / "identifiers.json").write_text("[1]")
    assert LogPlace(tmp_path).identifier("wandb") is None, "a run that begins is a new one"
    with pytest.raises(UserError, match=r"identifiers.json is damaged .*: delete it; the loggers begin new runs then"):
        LogPlace(tmp_path, step=3).identifier("wandb")


def test_other_processes_open_no_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    RunLog(None, loggers=["csv"]).write("step", 1, {"x": 1})
    assert list(tmp_path.iterdir()) == []
