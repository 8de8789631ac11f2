"""Folders of comparisons and sweeps: damaged or missing files in them, folders of somebody else, rows that diverge."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalmtl.cli.main import main
from frugalmtl.experiment.comparison.folder import kept_results
from frugalmtl.report import load_results
from tests.support.toy_folder import dataset_file, experiment_file, write_folder

Content = dict[str, Any]


@pytest.fixture
def content(tmp_path: Path) -> Content:
    """A comparison of two rows that trains for a second."""
    write_folder(tmp_path, 8, (16, 16), folders=("image", "seg", "depth"))
    base = yaml.safe_load(experiment_file(tmp_path, dataset_file(tmp_path), image_size=[16, 16]).read_text())
    del base["name"]
    return {
        "base": base,
        "rows": {"single": {"encoder": {"name": "single_task"}}, "shared": {}},
        "reference": "single",
        "panels": 1,
        "latency_rounds": 1,
    }


def command(name: str, content: Content, folder: Path) -> list[str]:
    file = folder.parent / f"{name}.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return [name, "--config", str(file), "--out", str(folder)]


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("frugalmtl: error: ")
    return error


def final_times(folder: Path) -> dict[str, int]:
    return {path.parts[-3]: path.stat().st_mtime_ns for path in folder.glob("runs/*/checkpoints/final")}


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def damage(folder: Path) -> None:
    (folder / "results.json").write_bytes((folder / "results.json").read_bytes()[:100])
    next((folder / "figures").glob("*.png")).write_bytes(b"")
    (folder / "report.html").write_text("")


def lose(folder: Path) -> None:
    (folder / "results.json").unlink()
    remove(folder / "figures")


@pytest.mark.slow
def test_what_a_report_wrote_is_made_anew(content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    compare = command("compare", content, folder)
    assert main(compare) == 0
    before, files = final_times(folder), sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    for accident in (damage, lose):
        accident(folder)
        assert main(compare) == 0
        assert [row.name for row in load_results(folder / "results.json").rows] == ["single", "shared"]
        assert sorted(path.relative_to(folder) for path in folder.rglob("*.png")) == files
        assert all(path.stat().st_size > 100 for path in [*folder.rglob("*.png"), folder / "report.html"])
    assert final_times(folder) == before, "nothing is trained again"
    remove(folder / "figures")
    (folder / "figures").write_text("")
    assert f"cannot write {folder / 'figures'}" in error_of(compare, capsys)


@pytest.mark.parametrize("text", [b'{"rows": 3}', b"{", b"\xff\xfe\x00", b"null", b""])
def test_results_that_are_none_are_taken_as_lost(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(text)
    assert kept_results(tmp_path) is None


@pytest.mark.slow
def test_the_journal_of_a_sweep(content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    content["sweep"] = {"key": "train.optimizer.lr", "values": [0.001], "row": {"title": "rate"}}
    del content["rows"]["shared"]
    folder = tmp_path / "out"
    sweep, journal = command("sweep", content, folder), folder / "sweep.journal"
    assert main(sweep) == 0
    before = final_times(folder)
    journal.write_bytes(b"{}\n")
    assert f"{journal} cannot be read" in error_of(sweep, capsys)
    remove(journal)  # as it says
    assert main(sweep) == 0
    assert final_times(folder) == before, "finished runs are found again"


@pytest.mark.parametrize("name", ["report.html", "results.json", "figures", "predictions"])
@pytest.mark.parametrize("command_name", ["compare", "sweep"])
def test_a_folder_of_somebody_else_is_left_alone(
    name: str, command_name: str, content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if command_name == "sweep":
        pytest.importorskip("optuna")
        content["sweep"] = {"key": "train.optimizer.lr", "values": [0.001]}
    folder = tmp_path / "theirs"
    (folder / "runs" / "july").mkdir(parents=True)
    (folder / "runs" / "july" / "config.yaml").write_text("theirs: 1")
    theirs = folder / name if "." in name else folder / name / "one.png"
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("theirs")
    before = sorted(folder.rglob("*"))
    error = error_of(command(command_name, content, folder), capsys)
    assert f"{folder} holds {name} but no comparison: choose another folder" in error
    assert sorted(folder.rglob("*")) == before
    assert theirs.read_text() == "theirs"


def test_a_file_is_no_folder(content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("theirs")
    assert "file is a file: choose a folder" in error_of(command("compare", content, tmp_path / "file"), capsys)
    assert (tmp_path / "file").read_text() == "theirs"


def follow(advice: str, entry: Content, change: Content) -> None:
    """Delete what the words name, and give an entry of the config a change that they offer."""
    for path in advice.partition(", delete ")[2].partition(", and run")[0].split(", "):
        if path:
            remove(Path(path))
    entry["train"] = {**entry.get("train", {}), **change}


BLOWN: Content = {"optimizer": {"name": "sgd", "lr": 1.0e4}}


@pytest.mark.slow
@pytest.mark.parametrize("checkpoints", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_remedy_of_a_row_that_diverged_trains(
    checkpoints: bool, content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Diverge, then do what the words say, word for word; what was finished is not trained again."""
    content["base"]["train"].update(epochs=8, checkpoint_every=0 if checkpoints else 100)
    content["rows"]["blown"] = {"train": BLOWN}
    folder = tmp_path / "out"
    error = error_of(command("compare", content, folder), capsys)
    assert "give row 'blown' 'train: {optimizer: {lr: ...}}' with a lower rate" in error
    assert error.endswith("which keeps all other runs that are finished")
    assert (f", delete {folder / 'runs' / 'blown-seed0'}, and run" in error) == checkpoints
    before = final_times(folder)
    follow(error, content["rows"]["blown"], {"optimizer": {"name": "sgd", "lr": 1.0e-3}})
    assert main(command("compare", content, folder)) == 0
    assert before.items() <= final_times(folder).items()
    assert len(load_results(folder / "results.json").rows) == 3


@pytest.mark.slow
def test_the_remedy_of_a_point_that_diverged_trains(
    content: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    content["base"]["train"].update(epochs=4, checkpoint_every=100, optimizer={"name": "sgd", "lr": 1.0e-3})
    content["sweep"] = {"key": "train.optimizer.lr", "values": [1.0e-4, 1.0e4], "row": {"title": "rate"}}
    del content["rows"]["shared"]
    folder = tmp_path / "out"
    error = error_of(command("sweep", content, folder), capsys)
    assert "rate_10000_0-seed0: training stopped" in error
    assert error.endswith("; or leave 10000.0 out of the 'values' of 'sweep', and run it again")
    before = final_times(folder)
    content["sweep"]["values"].remove(1.0e4)
    assert main(command("sweep", content, folder)) == 0
    assert before.items() <= final_times(folder).items()
    assert [row.name for row in load_results(folder / "results.json").rows] == ["single", "rate_0_0001"]
