"""Class paths in every section, key and flag, and in data files and run folders: nothing is instantiated."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalmtl.cli.main import main
from frugalmtl.core.checks import UserError
from frugalmtl.core.schema import parameters
from frugalmtl.data import DATASETS
from frugalmtl.experiment import REGISTRIES
from frugalmtl.experiment.config.comparison import Comparison
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.published import Published
from frugalmtl.experiment.config.sweep import Sweep
from tests.attacks.payloads import refused
from tests.integration.conftest import write_config

Config = dict[str, Any]
SECTIONS = (
    "encoder.name",
    "encoder.own",
    "decoder.head",
    "decoder.heads",
    "decoder.heads.depth",
    "backbone.weights",
    "balancer.weights",
    "balancer.weights.depth",
    "data.size",
    "data.cache",
    "train.optimizer.lr",
    "train.optimizer.name",
    "train.schedule.per",
    "train.lr_factors.encoder",
    "augmentation.hflip",
    "tasks+",
)


def keys_of(kind: type, before: str = "") -> Iterator[str]:
    """Every key of a typed config, dotted."""
    for name, parameter in parameters(kind, positional=True).items():
        yield before + name
        if is_dataclass(parameter.annotation):
            yield from keys_of(parameter.annotation, f"{before}{name}.")  # type: ignore[arg-type]


def payload(canary: Path) -> Config:
    """What makes a reader that instantiates run a command."""
    return {"class_path": "os.system", "init_args": {"command": f"touch {canary}"}}


def put(content: Config, key: str, value: Any) -> Config:
    """The content with a value at a dotted key; ``key+`` adds to a list."""
    content = copy.deepcopy(content)
    *parents, last = key.removesuffix("+").split(".")
    place = content
    for parent in parents:
        if not isinstance(place.get(parent), dict):
            place[parent] = {}
        place = place[parent]
    place[last] = [*place[last], value] if key.endswith("+") else value
    return content


@pytest.mark.parametrize("key", [*keys_of(Experiment), *SECTIONS])
def test_experiment(
    key: str, tmp_path: Path, experiment: Config, canary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    config = write_config(tmp_path / "config.yaml", put(experiment, key, payload(canary)))
    refused(capsys, ["train", "--config", str(config), "--out", str(out)], canary)
    plain = write_config(tmp_path / "plain.yaml", experiment)
    text = json.dumps(payload(canary))
    refused(capsys, ["train", "--config", str(plain), "--out", str(out), f"--{key}", text], canary)
    assert not out.exists()


@pytest.mark.parametrize("key", [f"published.{key}" for key in keys_of(Published)])
def test_published(key: str, tmp_path: Path, experiment: Config, canary: Path, capsys: Any) -> None:
    content = put({**experiment, "published": {"source": "a table"}}, key, payload(canary))
    refused(capsys, ["train", "--config", str(write_config(tmp_path / "config.yaml", content))], canary)


COMPARED = [*keys_of(Comparison), "rows.shared", "rows.shared.encoder", "base.train", "base.data", "base.train.epochs"]


@pytest.mark.parametrize(
    ("command", "key"),
    [*(("compare", key) for key in COMPARED), *(("sweep", key) for key in [*keys_of(Sweep), "sweep.row.encoder"])],
)
def test_comparison_and_sweep(
    command: str, key: str, tmp_path: Path, experiment: Config, canary: Path, capsys: Any
) -> None:
    content: Config = {
        "base": experiment,
        "rows": {"single_task": {"encoder": {"name": "single_task"}}, "shared": {}},
        "reference": "single_task",
    }
    if command == "sweep":
        row = {"title": "Cross-stitch", "encoder": {"name": "cross_stitch"}}
        content["sweep"] = {"key": "encoder.own", "row": row, "values": [0.4, 0.6]}
    config = write_config(tmp_path / "config.yaml", put(content, key, payload(canary)))
    refused(capsys, [command, "--config", str(config), "--out", str(tmp_path / "out")], canary)
    assert not (tmp_path / "out").exists()


OPTIONS = [
    (package, name, key)
    for package, registry in REGISTRIES.items()
    for name in registry.names()
    for key in registry.schema(name)
]


@pytest.mark.parametrize(("package", "name", "key"), OPTIONS)
def test_every_option_of_every_member(package: str, name: str, key: str, canary: Path) -> None:
    registry, value = REGISTRIES[package], payload(canary)
    needed = {one: "x" for one, item in registry.schema(name).items() if item.default is item.empty}
    with contextlib.suppress(UserError):
        spec = registry.check({"name": name, **needed, key: value})
        assert spec.args[key] == value, "a free mapping stays the plain values that it was"
    assert not canary.exists()


DECLARATION: Config = {
    "root": ".",
    "images": "{id}.png",
    "tasks": {"floor": {"kind": "segmentation", "classes": ["no", "yes"], "files": "{id}.png", "encoding": "index"}},
    "splits": {"train": 0.5, "val": 0.25, "test": 0.25},
}


@pytest.mark.parametrize(
    "key",
    ["root", "images", "tasks", "splits", "splits.train"]
    + [f"tasks.floor{key}" for key in ("", ".kind", ".classes", ".weight", ".files", ".encoding", ".encoding.first")],
)
def test_data_file(key: str, tmp_path: Path, canary: Path, capsys: Any) -> None:
    content = put(DECLARATION, key, payload(canary))
    if key == "tasks.floor.encoding.first":
        content["tasks"]["floor"]["encoding"]["name"] = "index"
    file = write_config(tmp_path / "own.yaml", content)
    refused(capsys, ["data", "check", str(file)], canary)
    with pytest.raises(UserError):
        DATASETS.build({"name": "folder", "file": str(file)})
    assert not canary.exists()


RUN_KEYS = (
    "data",
    "encoder",
    "decoder",
    "train",
    "train.optimizer",
    "train.epochs",
    "published",
    "tasks",
    "image_size",
)


@pytest.mark.parametrize("key", RUN_KEYS)
@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "RUN"],
        ["deploy", "RUN"],
        ["profile", "RUN", "--rounds", "1", "--no-onnxruntime"],
        ["predict", "RUN", "skimage:coffee"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_run_folder(arguments: list[str], key: str, run: Path, canary: Path, capsys: Any) -> None:
    config = run / "config.yaml"
    write_config(config, put(yaml.safe_load(config.read_text(encoding="utf-8")), key, payload(canary)))
    words = [str(run) if word == "RUN" else word for word in arguments]
    code = main(words)
    error = capsys.readouterr().err
    assert not canary.exists()
    # Sections that a command has no use for (the dataset, when it predicts) are not read at all.
    assert code == 2 or key in ("data", "tasks"), error
    if code == 2:
        assert error.count("\n") == 1
