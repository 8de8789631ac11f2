"""Contract of every dataset."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.data import DATASETS, Dataset, Loader, Transform, check, preset


def rooms(folder: Path) -> dict[str, Any]:
    return {"size": "tiny", "train": 2, "val": 2, "test": 1, "shifted": 1, "cache": str(folder)}


def folder(folder: Path) -> dict[str, Any]:
    for name, side in (("one", 20), ("two", 24), ("three", 20)):
        for kind in ("images", "classes"):
            (folder / kind).mkdir(exist_ok=True)
        pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{name}.png")
        if name != "two":
            Image.fromarray(pixels[..., 0] % 3).save(folder / f"classes/{name}.png")
    content = {
        "root": ".",
        "images": "images/{id}.png",
        "tasks": {
            "classes": {"kind": "segmentation", "classes": ["a", "b", "c"], "files": "classes/{id}.png"},
            "facts": {"kind": "classification", "classes": ["wet"], "table": "facts.csv"},
        },
        "splits": {"train": "train.txt", "val": "val.txt"},
    }
    (folder / "facts.csv").write_text("id,wet\ntwo,1\nthree,0\n")
    (folder / "train.txt").write_text("one\ntwo\n")
    (folder / "val.txt").write_text("three\n")
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content))
    return {"file": str(folder / "dataset.yaml")}


MINIMAL: dict[str, Callable[[Path], dict[str, Any]]] = {"rooms": rooms, "folder": folder}
"""A dataset's smallest arguments, given an empty folder; a new dataset adds its own."""


@pytest.fixture(scope="module", params=DATASETS.names())
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    name: str = request.param
    assert name in MINIMAL, f"add the smallest arguments of {name!r} to MINIMAL"
    dataset: Dataset = DATASETS.build({"name": name, **MINIMAL[name](tmp_path_factory.mktemp(name))})
    dataset.prepare(dataset.splits)
    return dataset


def test_what_is_prepared_is_not_prepared_again(dataset: Dataset) -> None:
    assert dataset.prepare(dataset.splits) == 0


def test_it_says_what_it_has(dataset: Dataset) -> None:
    names = [task.name for task in dataset.tasks]
    assert names
    assert len(set(names)) == len(names)
    assert dataset.splits
    assert len(set(dataset.splits)) == len(dataset.splits)
    assert all(len(dataset.split(name)) > 0 for name in dataset.splits)
    with pytest.raises(UserError, match="split"):
        dataset.split("nonsense")


def test_labels_have_the_form_of_their_tasks(dataset: Dataset) -> None:
    for name in dataset.splits:
        split = dataset.split(name)
        for index in range(len(split)):
            sample = split.load(index)
            assert sample.name
            assert sample.image.dtype == torch.uint8
            assert sample.image.shape[0] == 3
            if dataset.image_size is not None:
                assert sample.image.shape[1:] == dataset.image_size
            assert sample.labels.keys() <= {task.name for task in dataset.tasks}
            for task in dataset.tasks:
                if task.name not in sample.labels:
                    continue
                label = sample.labels[task.name]
                valid = task.valid(label)
                assert label.dtype == (torch.long if task.label_type == "classes" else torch.float32)
                if task.dense:
                    channels = (task.label_channels,) if task.label_channels else ()
                    assert label.shape == (*channels, *sample.image.shape[1:])
                if task.label_type == "classes":
                    assert ((label[valid] >= 0) & (label[valid] < task.channels)).all()
                torch.testing.assert_close(task.normalise(label), label, atol=1e-4, rtol=0, equal_nan=True)


def test_splits_say_what_they_have_without_loading(dataset: Dataset) -> None:
    for name in dataset.splits:
        split = dataset.split(name)
        samples = [split.load(index) for index in range(len(split))]
        assert list(split.ids) == [sample.name for sample in samples]
        assert split.present() == len(split)
        for task in dataset.tasks:
            assert split.labelled(task.name) == sum(task.name in sample.labels for sample in samples)
        assert split.listed_problems([task.name for task in dataset.tasks]) == []


def test_loading_is_repeatable_and_travels(dataset: Dataset) -> None:
    split = dataset.split(dataset.splits[0])
    copy = pickle.loads(pickle.dumps(split))
    for _ in range(2):
        first, again = split.load(0), copy.load(0)
        assert first.name == again.name
        assert torch.equal(first.image, again.image)
        torch.testing.assert_close(first.labels, again.labels, atol=0, rtol=0, equal_nan=True)


def test_splits_do_not_share_samples(dataset: Dataset) -> None:
    names: list[str] = []
    for name in dataset.splits:
        split = dataset.split(name)
        names += [split.load(index).name for index in range(len(split))]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("workers", [0, 1])
def test_it_makes_finite_batches(dataset: Dataset, workers: int) -> None:
    transform = Transform(dataset.tasks, 32, preset("survey_pascal"))
    loader = Loader(dataset.split("train"), transform, batch_size=2, workers=workers)
    (batch,) = loader.epoch(0)
    assert batch.image.shape == (2, 3, 32, 32)
    assert batch.image.isfinite().all()
    for task in dataset.tasks:
        target, valid = batch.targets[task.name], batch.valid[task.name]
        assert valid.dtype == torch.bool
        assert target.float().isfinite().all()
        if task.dense:
            assert valid.shape == (2, 32, 32)
            assert not target.movedim(1, -1)[~valid].any() if task.label_channels else not target[~valid].any()


def test_its_own_files_are_fine(dataset: Dataset) -> None:
    assert check(dataset, progress=False) == []
