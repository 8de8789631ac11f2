"""The dataset of rendered rooms, its cache and its clips."""

from __future__ import annotations

import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import frugalmtl_rooms as rooms
from frugalmtl.core.checks import UserError
from frugalmtl.data import DATASETS
from frugalmtl.data.datasets.rooms import FIRST_SEED, Rooms, _renderer
from tests.support.runs.logs import warns_in_one_line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("cache"))
    Rooms(size="tiny", train=3, val=2, test=1, shifted=1, cache=folder).prepare(
        ["train", "val", "shifted"], workers=0, progress=False
    )
    return folder


@pytest.fixture
def dataset(folder: str) -> Rooms:
    return Rooms(size="tiny", train=3, val=2, test=1, shifted=1, cache=folder)


def test_splits_never_share_a_seed() -> None:
    assert sorted(FIRST_SEED.values()) == [0, 10_000_000, 20_000_000, 30_000_000]
    with pytest.raises(UserError, match="train must lie in"):
        Rooms(train=10_000_001)


def test_labels_agree_with_the_renderer(dataset: Rooms) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would mean that the cache was not used
        sample = dataset.split("val").load(1)
    room = rooms.render(10_000_001, 64)
    assert torch.equal(sample.image, torch.from_numpy(room.image).permute(2, 0, 1))
    for name in ("segmentation", "human_parts"):
        assert torch.equal(sample.labels[name], torch.from_numpy(getattr(room, name)).long())
    for name in ("edges", "saliency"):
        assert torch.equal(sample.labels[name][0], torch.from_numpy(getattr(room, name)).float())
    assert torch.equal(sample.labels["attributes"], torch.from_numpy(room.attributes).float())
    relative = (sample.labels["depth"][0].numpy() - room.depth) / room.depth
    assert np.abs(relative).max() < 1e-3
    normals = sample.labels["normals"].double()
    exact = torch.from_numpy(room.normals).permute(2, 0, 1).double()
    exact /= exact.norm(dim=0)
    degrees = torch.rad2deg(2 * ((normals - exact).norm(dim=0) / 2).clamp(max=1).asin())
    assert degrees.max() < 0.1


def test_the_shifted_split_is_rendered_shifted(dataset: Rooms) -> None:
    image = dataset.split("shifted").load(0).image
    shifted = rooms.render(30_000_000, 64, shifted=True).image
    assert torch.equal(image, torch.from_numpy(shifted).permute(2, 0, 1))
    assert (shifted != rooms.render(30_000_000, 64).image).any()


def test_the_cache_knows_the_code_of_the_whole_renderer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "renderer"
    shutil.copytree(Path(rooms.__file__).parent, package)
    monkeypatch.setattr(rooms, "__file__", str(package / "__init__.py"))

    def fingerprint() -> str:
        return _renderer.__wrapped__()

    stamps = [_renderer(), fingerprint()]
    file = next(package.glob("*/*.py"))
    file.write_text(file.read_text() + "\n# a comment\n")
    stamps.append(fingerprint())
    assert len(set(stamps)) == 1
    file.write_text(file.read_text() + "\nANOTHER = 1\n")
    assert fingerprint() != stamps[0]


def test_an_unprepared_split_still_gives_the_same_samples(dataset: Rooms, folder: str, tmp_path: Path) -> None:
    other = Rooms(size="tiny", train=3, cache=str(tmp_path))
    with warns_in_one_line("not in the cache"):
        sample = other.split("train").load(2)
    cached = dataset.split("train").load(2)
    assert sample.name == cached.name
    for name, label in sample.labels.items():
        assert torch.equal(label, cached.labels[name])


def test_a_split_travels_to_worker_processes(dataset: Rooms) -> None:
    split = dataset.split("train")
    split.load(0)
    copy = pickle.loads(pickle.dumps(split))
    assert torch.equal(copy.load(1).image, split.load(1).image)


def test_a_clip_is_a_video_with_labels(dataset: Rooms) -> None:
    frames = list(dataset.clip(4, 3))
    assert len({frame.name for frame in frames}) == 3
    assert all(frame.labels.keys() == {task.name for task in dataset.tasks} for frame in frames)
    assert not torch.equal(frames[0].labels["depth"], frames[2].labels["depth"])
    first = rooms.render(4, 64, time=0.0)
    assert torch.equal(frames[0].labels["segmentation"], torch.from_numpy(first.segmentation).long())


@pytest.mark.parametrize(("seed", "frames", "word"), [(-1, 3, "seed"), (4, 0, "frames")])
def test_mistakes_that_the_renderer_names_are_users_mistakes(dataset: Rooms, seed: int, frames: int, word: str) -> None:
    with pytest.raises(UserError, match=f"clip of rooms: {word} must be"):
        dataset.clip(seed, frames)


def test_config_is_checked() -> None:
    with pytest.raises(UserError, match="size"):
        DATASETS.check({"name": "rooms", "size": "huge"})
    with pytest.raises(UserError, match="unknown split of rooms 'valid'"):
        Rooms().split("valid")
    with pytest.raises(UserError, match="unknown split"):
        Rooms().prepare(["tset"])
    with pytest.raises(UserError, match="val must lie in"):
        Rooms(val=0)


@pytest.mark.slow
def test_several_processes_prepare_the_same_images(dataset: Rooms, tmp_path: Path) -> None:
    other = Rooms(size="tiny", train=3, val=2, cache=str(tmp_path))
    other.prepare(["train", "val"], workers=2, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, count in (("train", 3), ("val", 2)):
            for index in range(count):
                assert torch.equal(other.split(name).load(index).image, dataset.split(name).load(index).image)
