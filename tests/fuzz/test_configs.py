"""Damaged configs of every kind through their readers: each is a valid object or one line.

``pytest tests/fuzz -m "slow or not slow" -s`` prints how many were taken and refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from frugalmtl.core.documents import read_json
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.experiment.config.comparison import Comparison, row_experiments
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse, read_yaml
from frugalmtl.experiment.config.sweep import Sweep, expand
from frugalmtl.experiment.runs.build import build_tasks, check
from frugalmtl.experiment.runs.run import Run
from tests.fuzz.judging import judge
from tests.fuzz.mutations import mutated_text
from tests.support.toy_folder import dataset_file, write_folder

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
MANY = 1000
FEW = 60


def read_config(path: Path) -> None:
    """Read a config as its command does, up to where anything is built."""
    content = read_yaml(path)
    if "sweep" in content:
        sweep = parse(Sweep, content, str(path))
        comparison = expand(sweep, sweep.sweep.places or [])
    elif "rows" in content:
        comparison = parse(Comparison, content, str(path))
    else:
        _check(parse(Experiment, content, str(path)))
        return
    for experiment in row_experiments(comparison, seed=0).values():
        _check(experiment)


def _check(experiment: Experiment) -> None:
    check(experiment)
    if experiment.data is None:
        build_tasks(experiment, None)


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def fuzz(count: int, texts: list[str], read: Callable[[Path], object], tmp_path: Path, seed: int) -> str:
    """Damage texts in turn and judge what their reader makes of them."""
    (tmp_path / "inputs").mkdir()
    (tmp_path / "watched").mkdir()
    inputs = {}
    for number in range(count):
        source = random.Random(f"{seed} {number}")
        content = mutated_text(source, texts[number % len(texts)])
        path = written(tmp_path / "inputs", f"{number:04d}.yaml", content)
        inputs[f"{seed} {number}"] = partial(read, path)
    counts = judge(inputs, tmp_path / "watched")
    assert counts["refused"] > count // 4, "the damage is real"
    return f"{dict(counts)}"


AMOUNTS = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", AMOUNTS)
def test_configs(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    texts = [path.read_text(encoding="utf-8") for path in CONFIGS]
    print("configs:", fuzz(count, texts, read_config, tmp_path, seed=1))


@pytest.mark.parametrize("count", AMOUNTS)
def test_dataset_files(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    write_folder(root, 4)
    text = dataset_file(root, ("seg", "depth", "normals", "edges", "sal")).read_text(encoding="utf-8")
    text = text.replace("root: .", f"root: {root}")
    print("dataset files:", fuzz(count, [text], lambda path: Folder(file=str(path)), tmp_path, seed=2))


@pytest.mark.parametrize("count", AMOUNTS)
def test_configs_of_runs(count: int, tmp_path: Path) -> None:
    earlier = Path(__file__).parents[1] / "integration" / "data" / "earlier_runs" / "cross_stitch"
    run = tmp_path / "run"
    run.mkdir()

    def read(path: Path) -> None:
        (run / "config.yaml").write_bytes(path.read_bytes())
        check(Run.open(run).config)

    text = (earlier / "config.yaml").read_text(encoding="utf-8")
    print("configs of runs:", fuzz(count, [text], read, tmp_path, seed=3))


@pytest.mark.parametrize("count", [200])
def test_random_bytes(count: int, tmp_path: Path) -> None:
    (tmp_path / "watched").mkdir()
    inputs: dict[str, Callable[[], object]] = {}
    for number in range(count):
        source = random.Random(number)
        path = written(tmp_path, f"{number:04d}", source.randbytes(source.choice([0, 1, 7, 100, 5000])))
        inputs[f"yaml {number}"] = partial(read_config, path)
        inputs[f"json {number}"] = partial(read_json, path, "scores", remedy="evaluate again")
    print("random bytes:", dict(judge(inputs, tmp_path / "watched")))
