"""Options that are counted from the training labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from frugalmtl.core.checks import UserError
from frugalmtl.data.counting.settled import settled
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.tasks import Task
from tests.support.toy_folder import TASKS, dataset_file, write_folder


def opened(root: Path, **options: object) -> Folder:
    tasks = {"seg": {**TASKS["seg"], **options}, "depth": TASKS["depth"]}
    return Folder(file=str(dataset_file(root, tasks)))


def task_of(dataset: Folder, name: str) -> Task:
    return next(task for task in settled(dataset.tasks, dataset, "train") if task.name == name)


def labels(dataset: Folder, name: str) -> list[torch.Tensor]:
    split = dataset.split("train")
    return [split.load(index).labels[name] for index in range(len(split))]


def test_balanced_is_that_of_scikit_learn(tmp_path: Path) -> None:
    write_folder(tmp_path)
    dataset = opened(tmp_path, class_weights="balanced")
    task = task_of(dataset, "seg")
    pixels = torch.stack(labels(dataset, "seg")).flatten().numpy()
    expected = compute_class_weight("balanced", classes=np.arange(3), y=pixels)
    assert task.loss.args["weights"] == pytest.approx(tuple(expected.tolist()))
    assert tuple(task.section["class_weights"]) == task.loss.args["weights"]
    assert task.from_labels == {}


def test_median_frequency_by_its_definition(tmp_path: Path) -> None:
    write_folder(tmp_path)
    first = opened(tmp_path)
    maps = [label.numpy() for label in labels(first, "seg")]
    maps[0][:] = 0  # an image without the other two classes
    from PIL import Image

    Image.fromarray(maps[0].astype(np.uint8)).save(tmp_path / "seg/im00.png")
    shares = []
    for index in range(3):
        holding = np.concatenate([one.ravel() for one in maps if (one == index).any()])
        shares.append((holding == index).mean())
    task = task_of(opened(tmp_path, class_weights="median_frequency"), "seg")
    assert task.loss.args["weights"] == pytest.approx(tuple(np.median(shares) / np.array(shares)))


def test_depth_begins_at_the_median_of_the_training_labels(tmp_path: Path) -> None:
    write_folder(tmp_path)
    dataset = opened(tmp_path)
    median = torch.stack(labels(dataset, "depth")).median().item()
    task = task_of(dataset, "depth")
    assert task.section["start"] == pytest.approx(median, rel=5e-3)
    assert task.begin == task.section["start"]
    assert task_of(dataset, "seg") is dataset.tasks[0], "nothing to count"


def test_a_changed_weight_is_kept(tmp_path: Path) -> None:
    from dataclasses import replace

    write_folder(tmp_path)
    dataset = opened(tmp_path)
    (task,) = settled([replace(dataset.tasks[1], weight=7.0, auxiliary=True)], dataset, "train")
    assert (task.weight, task.auxiliary, task.begin is not None) == (7.0, True, True)


def test_no_value_to_count_is_the_users_to_state(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for file in (tmp_path / "depth").glob("*"):
        file.unlink()
    dataset = opened(tmp_path)
    with pytest.raises(UserError, match=r"task 'depth': no label of split 'train' holds a value to count for start"):
        settled(dataset.tasks, dataset, "train")
