"""Case 04, depth arrays with NaN, negative and infinite values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.data.check import check
from frugalmtl.data.datasets.folder import Folder
from tests.support.toy_folder import dataset_file, save, scene, write_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, name in enumerate(write_folder(tmp_path, folders=("image",))):
        depth = scene(index)["depth"].astype(np.float16 if index % 2 else np.float32)
        depth[:4] = np.nan
        save(tmp_path / f"depth/{name}.npy", depth)
    return tmp_path


def dataset(root: Path, **encoding: object) -> Folder:
    task: dict[str, object] = {"kind": "depth", "files": "depth/{id}.npy"}
    if encoding:
        task["encoding"] = {"name": "values", **encoding}
    return Folder(file=str(dataset_file(root, {"depth": task})))


def damage(root: Path, value: float) -> None:
    depth = np.load(root / "depth/im03.npy")
    depth[10:12] = value
    save(root / "depth/im03.npy", depth)


def test_nan_is_no_label_in_the_check_and_in_training(root: Path) -> None:
    data = dataset(root)
    assert check(data, progress=False) == []
    label = data.split("train").load(2).labels["depth"]
    (task,) = data.tasks
    assert not task.valid(label)[:4].any()
    assert torch.equal(label[0, 4:], torch.from_numpy(scene(2)["depth"][4:]))


@pytest.mark.parametrize(
    ("value", "words"),
    [(-1.0, "(6.2 % of pixels outside, most of them -1)"), (np.inf, "infinite values (6.2 % of pixels)")],
)
def test_no_depth_is_named_with_file_and_share_in_both(root: Path, value: float, words: str) -> None:
    damage(root, value)
    data = dataset(root)
    (problem,) = check(data, progress=False)
    assert problem.file.endswith("depth/im03.npy")
    assert words in problem.what
    with pytest.raises(UserError) as caught:
        data.split("train").load(3)
    assert str(caught.value) == str(problem)


@pytest.mark.parametrize("value", [-1.0, np.inf])
def test_a_value_stated_as_invalid_is_no_label(root: Path, value: float) -> None:
    damage(root, value)
    data = dataset(root, invalid=value)
    assert check(data, progress=False) == []
    (task,) = data.tasks
    valid = task.valid(data.split("train").load(3).labels["depth"])
    assert not valid[10:12].any()
    assert valid[12:].all()


def test_millimetres_taken_as_metres_are_named_with_the_encoding_that_reads_them(root: Path) -> None:
    for file in (root / "depth").iterdir():
        save(file, np.load(file).astype(np.float32) * 1000)
    data = dataset(root)
    problems = check(data, progress=False)
    assert len(problems) == 8
    assert "metres (median)" in problems[0].what
    assert "{name: scaled, scale: 0.001}" in problems[0].remedy
    with pytest.raises(UserError, match=r"0.001 to 100 metres"):
        data.split("train").load(0)
    scaled = {"kind": "depth", "files": "depth/{id}.npy", "encoding": {"name": "scaled", "scale": 0.001}}
    wide = {"kind": "depth", "files": "depth/{id}.npy", "far": 10_000}
    both = Folder(file=str(dataset_file(root, {"depth": scaled, "wide": wide})))
    assert check(both, progress=False) == []
    assert both.split("train").load(0).labels["depth"].nanquantile(0.5) < 10
