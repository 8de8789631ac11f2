"""Whatever a user gets wrong gives one clear line, exit code 2, and nothing half-written."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from frugalmtl.cli.main import main
from tests.integration.conftest import write_config

Config = dict[str, Any]
Change = Callable[[Config], None]


def put(path: str, value: Any) -> Change:
    """A change that sets ``a.b.c`` of a config."""

    def change(config: Config) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            config = config[parent]
        config[last] = value

    return change


def drop(path: str) -> Change:
    def change(config: Config) -> None:
        del config[path]

    return change


CONFIG_MISTAKES: dict[str, tuple[Change, str]] = {
    "unknown key": (put("encodr", {"name": "hard_sharing"}), "Did you mean 'encoder'"),
    "unknown key in a section": (put("train.epoch", 3), "Did you mean 'epochs'"),
    "wrong type": (put("train.epochs", "many"), "epochs"),
    "out of range": (put("train.epochs", -1), "epochs must be above 0"),
    "unknown encoder": (put("encoder.name", "hard_shearing"), "Did you mean 'hard_sharing'"),
    "unknown argument": (put("encoder", {"name": "cross_stitch", "onw": 0.9}), "Did you mean 'own'"),
    "ill-typed argument": (put("encoder", {"name": "cross_stitch", "own": "most"}), "own must be float, but got 'most'"),
    "section without a name": (put("encoder", {"own": 0.9}), "name"),
    "unknown head": (put("decoder.head", "liner"), "Did you mean 'linear'"),
    "unknown balancer": (put("balancer.name", "pcgard"), "Did you mean 'pcgrad'"),
    "weight of an unknown task": (put("balancer", {"name": "fixed", "weights": {"dept": 1.0}}), "Did you mean 'depth'"),
    "unknown dataset": (put("data.name", "romms"), "Did you mean 'rooms'"),
    "no dataset": (drop("data"), "data"),
    "unknown task": (put("tasks", ["segmentation", "dept"]), "Did you mean 'depth'"),
    "task given twice": (put("tasks", ["depth", "depth"]), "once"),
    "image size that does not fit": (put("image_size", [60, 64]), "multiples of 32"),
    "unknown optimiser": (put("train.optimizer", {"name": "adma"}), "Did you mean 'adam'"),
    "unknown schedule": (put("train.schedule", {"name": "polly"}), "Did you mean 'poly'"),
    "unknown model": (put("backbone.model", "resnet1818"), "resnet18"),
    "weights that are not there": (put("backbone.weights", "nowhere.safetensors"), "nowhere.safetensors"),
    "unknown augmentation": (put("augmentation", {"hflop": 0.5}), "Did you mean 'hflip'"),
    "more images per batch than there are": (put("train.batch_size", 64), "smaller batch_size"),
    "unknown split": (put("test_split", "tset"), "Did you mean 'test'"),
    "start from no run": (put("init_from", "no/such/run"), "no/such/run"),
    "loss that explodes": (put("train.optimizer", {"name": "sgd", "lr": 1.0e30}), "loss"),
}


def complaint(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Run a command that must fail; its one line."""
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("frugalmtl: error: ")
    assert "\n" not in error
    assert "Traceback" not in error
    return error


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mistake", CONFIG_MISTAKES)
def test_config(mistake: str, tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = CONFIG_MISTAKES[mistake]
    change(experiment)
    config = write_config(tmp_path / "config.yaml", experiment)
    out = tmp_path / "out"
    assert message in complaint(capsys, ["train", "--config", str(config), "--out", str(out)])
    half_written = {name for name in files_below(tmp_path) if name.endswith(".tmp") or "final" in name}
    assert not half_written
    if mistake != "loss that explodes":
        assert not out.exists(), "a mistake that can be seen beforehand is seen before anything is written"


def test_nan_names_the_task(tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str]) -> None:
    experiment["train"].update(optimizer={"name": "sgd", "lr": 1e30}, epochs=4)
    config = write_config(tmp_path / "config.yaml", experiment)
    error = complaint(capsys, ["train", "--config", str(config), "--out", str(tmp_path / "out")])
    assert "segmentation" in error or "depth" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [("name: [unclosed", "valid"), ("- just\n- a list", "mapping"), ("", "mapping")],
    ids=["not YAML", "not a mapping", "empty"],
)
def test_config_file(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert message in complaint(capsys, ["train", "--config", str(tmp_path / "config.yaml")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "Did you mean 'train'"),
        (["train", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["train", "--encodr.name", "x"], "encodr"),
        (["evaluate", "nowhere"], "holds no run"),
        (["predict", "nowhere", "skimage:tea"], "Did you mean"),
        (["predict", "nowhere", "nowhere.jpg"], "does not exist"),
        (["profile"], "needs a run folder or --config"),
        (["deploy", "nowhere", "--format", "onx"], "Did you mean 'onnx'"),
        (["list", "encoder"], "Did you mean 'encoders'"),
        (["list", "encoders", "cros_stitch"], "Did you mean 'cross_stitch'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in complaint(capsys, arguments)


class Bomb:
    """A pickle that would leave a trace if it were executed."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_weights_are_not_executed(tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "exploded"
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"conv1.weight": Bomb(trace)}))
    experiment["backbone"]["weights"] = str(tmp_path / "bomb.pth")
    config = write_config(tmp_path / "config.yaml", experiment)
    assert "bomb.pth" in complaint(capsys, ["train", "--config", str(config), "--out", str(tmp_path / "out")])
    assert not trace.exists()
    assert not (tmp_path / "out").exists()


def test_weights_of_another_model(tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    experiment["backbone"]["weights"] = str(tmp_path / "other.safetensors")
    config = write_config(tmp_path / "config.yaml", experiment)
    assert "other.safetensors" in complaint(capsys, ["train", "--config", str(config), "--out", str(tmp_path / "out")])


@pytest.fixture
def run(tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished run."""
    config = write_config(tmp_path / "config.yaml", experiment)
    assert main(["train", "--config", str(config), "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def checkpoint_file(run: Path, name: str) -> Path:
    return next(run.rglob(name))


def test_finished_run_that_is_damaged(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = checkpoint_file(run, "model.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "model.safetensors" in complaint(capsys, ["evaluate", str(run)])
    weights.write_bytes(b"")
    assert "model.safetensors" in complaint(capsys, ["predict", str(run), "skimage:coffee"])
    weights.unlink()
    assert str(run) in complaint(capsys, ["deploy", str(run)])
    assert not (run / "deployed").exists()


def test_requests_that_a_run_cannot_answer(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_below(run)
    assert "Did you mean 'shifted'" in complaint(capsys, ["evaluate", str(run), "--split", "shiftd"])
    (tmp_path / "photo.jpg").write_text("this is no photograph")
    assert "photo.jpg" in complaint(capsys, ["predict", str(run), str(tmp_path / "photo.jpg")])
    Image.new("RGB", (64, 64)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    assert "cut.png" in complaint(capsys, ["predict", str(run), str(tmp_path / "cut.png")])
    assert ".onnx" in complaint(capsys, ["deploy", str(run), "--format", "onnx", "--out", str(tmp_path / "model.bin")])
    assert "not both" in complaint(capsys, ["profile", str(run), "--config", str(tmp_path / "config.yaml")])
    assert files_below(run) == before


def test_other_config_in_the_same_folder(
    run: Path, tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment["seed"] = 5
    config = write_config(tmp_path / "other.yaml", experiment)
    assert "differs in seed" in complaint(capsys, ["train", "--config", str(config), "--out", str(run)])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("x")
    assert "holds no run" in complaint(capsys, ["train", "--config", str(config), "--out", str(tmp_path / "full")])
    assert files_below(tmp_path / "full") == {"precious.txt"}


def test_full_disk_while_training(
    tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(handle: int) -> None:
        if "checkpoint" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    config = write_config(tmp_path / "config.yaml", experiment)
    arguments = ["train", "--config", str(config), "--out", str(tmp_path / "run")]
    assert "No space left" in complaint(capsys, arguments)
    assert not list(tmp_path.rglob("model.safetensors"))
    monkeypatch.undo()
    assert main(arguments) == 0, "with space again, the same command goes on"


COMPARISON_MISTAKES: dict[str, tuple[Change, str]] = {
    "reference that is no row": (put("reference", "singletask"), "Did you mean 'single_task'"),
    "no rows": (put("rows", {}), "at least one row"),
    "no reference": (drop("reference"), "reference"),
    "mistake in a row": (put("rows.shared.encoder", {"name": "hard_sharing", "depth": 3}), "depth"),
    "start from a later row": (put("rows.single_task.init_from", "shared"), "earlier row"),
    "seed twice": (put("seeds", [0, 0]), "different"),
    "rows on different data": (put("rows.shared.data", {"name": "rooms", "size": "small"}), "agree in 'data'"),
}


@pytest.mark.parametrize("mistake", COMPARISON_MISTAKES)
def test_comparison(mistake: str, tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = COMPARISON_MISTAKES[mistake]
    comparison = {
        "name": "wrong",
        "base": experiment,
        "rows": {"single_task": {"encoder": {"name": "single_task"}}, "shared": {}},
        "reference": "single_task",
    }
    change(comparison)
    config = write_config(tmp_path / "config.yaml", comparison)
    assert message in complaint(capsys, ["compare", "--config", str(config), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def folder_dataset(folder: Path, **changes: Any) -> Config:
    """A user's own dataset of four images, declared in YAML."""
    root = folder / "own"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for index in range(4):
        Image.new("RGB", (64, 64), (60 * index, 90, 120)).save(root / "images" / f"{index}.png")
        Image.new("L", (64, 64), index % 3).save(root / "labels" / f"{index}.png")
    declaration = yaml.safe_load((Path(__file__).parent / "own_data.yaml").read_text())
    declaration["root"] = str(root)
    for key, value in changes.items():
        put(key, value)(declaration)
    write_config(folder / "own.yaml", declaration)
    return {"name": "folder", "file": str(folder / "own.yaml")}
