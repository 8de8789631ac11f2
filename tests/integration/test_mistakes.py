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
    "ill-typed argument": (
        put("encoder", {"name": "cross_stitch", "own": "most"}),
        "own must be a number, but got 'most'",
    ),
    "section without a name": (put("encoder", {"own": 0.9}), "name"),
    "unknown head": (put("decoder.head", "liner"), "Did you mean 'linear'"),
    "unknown balancer": (put("balancer.name", "pcgard"), "Did you mean 'pcgrad'"),
    "weight of an unknown task": (put("balancer", {"name": "fixed", "weights": {"dept": 1.0}}), "Did you mean 'depth'"),
    "unknown dataset": (put("data.name", "romms"), "Did you mean 'rooms'"),
    "no dataset": (drop("data"), "data"),
    "unknown task": (put("tasks", ["segmentation", "dept"]), "Did you mean 'depth'"),
    "task given twice": (put("tasks", ["depth", "depth"]), "once"),
    "image size that does not fit": (put("image_size", [60, 64]), "multiples of 32"),
    "unknown optimiser": (put("train.optimizer", {"name": "addam"}), "Did you mean 'adam'"),
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
    """Run a command that must fail; its one line (training may have told of epochs before it)."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert [line for line in lines if not line.startswith("train, epoch ")] == lines[-1:]
    assert lines[-1].startswith("frugalmtl: error: ")
    return lines[-1]


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
        (["predict", "nowhere", "skimage:tea"], "expected one of astronaut"),
        (["predict", "nowhere", "nowhere.jpg"], "does not exist"),
        (["profile"], "needs a run folder or --config"),
        (["deploy", "nowhere", "--format", "onx"], "Did you mean 'onnx'"),
        (["deploy", "nowhere", "--format", "onnx", "--format.dynamic_sise", "true"], "Did you mean 'dynamic_size'"),
        (["deploy", "nowhere", "--format.tolerance", "small"], "tolerance must be a number, but got 'small'"),
        (["deploy", "nowhere", "--format", "onnx", "--format.dynamic_size", "true"], "holds no run"),
        (["list", "encodr"], "Did you mean 'encoder'"),
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
        if "checkpoint" in str(Path(f"/proc/self/fd/{handle}").readlink()):
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
    "rows with different tasks": (put("rows.shared.tasks", ["depth"]), "agree in what is scored"),
    "augmentation of a later row": (put("rows.shared.augmentation", "flipp"), "augmentation"),
    "fewer epochs than stages": (put("rows.shared.encoder", {"name": "cross_stitch"}), "epochs must be at least 2"),
    "start from nowhere": (put("rows.shared.init_from", "no/such/run"), "holds no run"),
    "photograph that is not there": (put("photos", ["no_such.jpg"]), "does not exist"),
    "published row without a source": (put("published", [{"title": "theirs"}]), "published[0] lacks source"),
    "no rounds": (put("latency_rounds", 0), "latency_rounds must be above 0"),
    "fewer rounds than none": (put("step_rounds", -1), "step_rounds must be 0 or more"),
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


DECLARATION: Config = {
    "root": "own",
    "images": "images/{id}.png",
    "tasks": {"floor": {"kind": "segmentation", "classes": ["no", "yes", "maybe"], "files": "labels/{id}.png"}},
    "splits": {"train": "train.txt", "val": "val.txt", "test": "test.txt"},
}


def own_data(folder: Path) -> Path:
    """A user's own dataset of twelve images."""
    root = folder / "own"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for index in range(12):
        Image.effect_noise((64, 64), 90).convert("RGB").save(root / "images" / f"{index}.png")
        Image.new("L", (64, 64), index % 3).save(root / "labels" / f"{index}.png")
    (root / "train.txt").write_text("0\n1\n2\n3\n")
    (root / "val.txt").write_text("4\n5\n6\n7\n")
    (root / "test.txt").write_text("8\n9\n10\n11\n")
    return root


def no_image(root: Path) -> None:
    (root / "images" / "2.png").write_text("this is no image")


def cut_image(root: Path) -> None:
    path = root / "images" / "2.png"
    path.write_bytes(path.read_bytes()[:2000])


def unknown_class(root: Path) -> None:
    Image.new("L", (64, 64), 7).save(root / "labels" / "2.png")


def coloured_label(root: Path) -> None:
    Image.new("RGB", (64, 64)).save(root / "labels" / "2.png")


DAMAGES = {
    "no image": no_image,
    "cut image": cut_image,
    "unknown class": unknown_class,
    "coloured label": coloured_label,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files(damage: str, tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str]) -> None:
    DAMAGES[damage](own_data(tmp_path))
    declaration = write_config(tmp_path / "own.yaml", DECLARATION)
    experiment.update(data={"name": "folder", "file": str(declaration)}, tasks=["floor"], image_size=[64, 64])
    config = write_config(tmp_path / "config.yaml", experiment)
    assert "2.png" in complaint(capsys, ["train", "--config", str(config), "--out", str(tmp_path / "out")])
    assert main(["data", "check", str(declaration)]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("2.png") == 1
    assert "1 problem in" in captured.err


DECLARATION_MISTAKES: dict[str, tuple[Change, str]] = {
    "root that is not there": (put("root", "nowhere"), "nowhere"),
    "pattern out of the root": (put("tasks.floor.files", "../{id}.png"), ".."),
    "pattern without an id": (put("images", "images/all.png"), "{id}"),
    "unknown kind": (put("tasks.floor.kind", "segmentatoin"), "Did you mean 'segmentation'"),
    "no tasks": (put("tasks", {}), "task"),
    "no images": (put("images", "pictures/{id}.png"), "pictures"),
    "list that is not there": (put("splits.train", "trian.txt"), "trian.txt"),
}


@pytest.mark.parametrize("mistake", DECLARATION_MISTAKES)
def test_declaration(mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_data(tmp_path)
    change, message = DECLARATION_MISTAKES[mistake]
    declaration: Config = yaml.safe_load(yaml.safe_dump(DECLARATION))
    change(declaration)
    before = files_below(tmp_path)
    config = write_config(tmp_path / "own.yaml", declaration)
    assert main(["data", "check", str(config)]) == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert files_below(tmp_path) == {*before, "own.yaml"}


def test_labels_that_are_missing_are_no_mistake(tmp_path: Path, experiment: Config) -> None:
    root = own_data(tmp_path)
    for index in (0, 1, 9):
        (root / "labels" / f"{index}.png").unlink()
    declaration = write_config(tmp_path / "own.yaml", DECLARATION)
    experiment.update(data={"name": "folder", "file": str(declaration)}, tasks=["floor"], image_size=[64, 64])
    config = write_config(tmp_path / "config.yaml", experiment)
    assert main(["train", "--config", str(config), "--out", str(tmp_path / "out")]) == 0


def test_checkpoint_that_is_a_bomb_or_lies_elsewhere(
    tmp_path: Path, experiment: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted run whose state was tampered with is not continued, and nothing in it is executed."""
    experiment["train"].update(epochs=2, checkpoint_every=1)
    config = write_config(tmp_path / "config.yaml", experiment)
    run = tmp_path / "run"
    arguments = ["train", "--config", str(config), "--out", str(run)]
    real, writes = os.fsync, [0]

    def full_after_the_first(handle: int) -> None:
        if str(Path(f"/proc/self/fd/{handle}").readlink()).endswith("model.safetensors"):
            writes[0] += 1
            if writes[0] > 1:
                raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full_after_the_first)
    assert "No space left" in complaint(capsys, arguments)
    monkeypatch.undo()
    assert "not trained to its end" in complaint(capsys, ["evaluate", str(run)])
    state, last = checkpoint_file(run, "state.pt"), checkpoint_file(run, "last")
    whole, pointer = state.read_bytes(), last.read_text()
    torch.save({"stage": Bomb(tmp_path / "exploded")}, state)
    assert "state.pt" in complaint(capsys, arguments)
    state.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert "state.pt" in complaint(capsys, arguments)
    state.write_bytes(whole)
    last.write_text("../../elsewhere")
    assert "last" in complaint(capsys, arguments)
    assert not (tmp_path / "exploded").exists()
    last.write_text(pointer)
    assert main(arguments) == 0, "put right, the run goes on"
