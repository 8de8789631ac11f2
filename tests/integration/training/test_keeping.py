"""Weights that are chosen by scores and averaged, from the config to the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalmtl.cli.main import main
from frugalmtl.experiment.runs.run import Run
from frugalmtl.report import load_results
from tests.integration.conftest import write_config
from tests.support.toy_folder import dataset_file, experiment_file, write_folder

Content = dict[str, Any]
BEST: Content = {"keep": "best", "evaluate_every": 1, "epochs": 3}


@pytest.fixture
def content(tmp_path: Path) -> Content:
    """An experiment that trains for a second."""
    write_folder(tmp_path, 8, (16, 16), folders=("image", "seg", "depth"))
    splits = {"train": "train.txt", "val": "val.txt", "test": "val.txt"}
    file = experiment_file(tmp_path, dataset_file(tmp_path, splits=splits), image_size=[16, 16], test_split="test")
    content: Content = yaml.safe_load(file.read_text())
    return content


def train(content: Content, folder: Path, **settings: Any) -> int:
    file = write_config(folder.parent / f"{folder.name}.yaml", {**content, "train": {**content["train"], **settings}})
    return main(["train", "--config", str(file), "--out", str(folder)])


def test_a_run_says_which_epoch_it_kept(content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(content, tmp_path / "run", **BEST, patience=1, ema=0.9, loggers=["csv"]) == 0
    run, shown = Run.open(tmp_path / "run"), capsys.readouterr().err
    epochs = run.epochs()
    best = [record["epoch"] for record in epochs if record["best"]]
    assert run.kept_epoch() == best[-1]
    assert f"kept the weights of epoch {best[-1] + 1} of {len(epochs)}, whose scores were best" in shown
    assert ("ended after epoch" in shown) == (len(epochs) < 3)
    (run.folder / "log.jsonl").unlink()
    assert run.kept_epoch() == best[-1], "the checkpoint knows it as well"
    with (run.folder / "loggers" / "csv" / "metrics.csv").open(newline="") as file:
        columns = next(csv.reader(file))
    assert "epoch/scores/depth/rmse" in columns
    assert train(content, tmp_path / "run", **BEST, patience=1, ema=0.9, loggers=["csv"]) == 0, "it is finished"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluate_split": "test"}, "keep: best reads the scores on evaluate_split while it trains, but 'test' is "),
        ({"train.evaluate_every": 0}, "keep: best goes by the scores of evaluations, but evaluate_every is 0"),
        (
            {"encoder": {"name": "interrogate"}, "backbone": {"name": "cifar_resnet", "depth": 8, "shortcut": "B"}},
            "in the last stage 'joint' it decides to the end: leave the setting out",
        ),
    ],
    ids=["reported", "not evaluated", "gates that learn to the end"],
)
def test_what_must_not_choose_is_refused(
    change: Content, message: str, content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**BEST, **{key.removeprefix("train."): value for key, value in change.items() if "train." in key}}
    rest = {key: value for key, value in change.items() if "train." not in key}
    assert train({**content, **rest}, tmp_path / "run", **settings) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_chooses_stays_the_same(content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(content, tmp_path / "run", **BEST) == 0
    for change, key in (({"evaluate_split": "train"}, "evaluate_split"), ({"name": "other"}, "")):
        code = train({**content, **change}, tmp_path / "run", **BEST)
        assert (code, key in capsys.readouterr().err) == ((2, True) if key else (0, True))


@pytest.mark.slow
def test_a_report_says_which_epochs_were_kept(content: Content, tmp_path: Path) -> None:
    del content["name"]
    rows = {"single": {"encoder": {"name": "single_task"}}, "shared": {"train": {**content["train"], **BEST}}}
    comparison = {"base": content, "rows": rows, "reference": "single", "panels": 0, "latency_rounds": 1}
    file = write_config(tmp_path / "compare.yaml", comparison)
    assert main(["compare", "--config", str(file), "--out", str(tmp_path / "out")]) == 0
    results = load_results(tmp_path / "out" / "results.json")
    single, shared = (row.seeds[0] for row in results.rows)
    assert (single.epochs, single.kept_epoch) == (content["train"]["epochs"],) * 2
    assert shared.epochs == 3
    history = [json.loads(line) for line in Path(shared.history_file).read_text().splitlines()]
    assert shared.kept_epoch == 1 + max(record["epoch"] for record in history if record.get("best"))
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{shared.kept_epoch} of 3" in page
    assert page.count("weights of epoch") == 1
    assert "Rows that keep the weights of the epoch whose scores were best on split" in page
