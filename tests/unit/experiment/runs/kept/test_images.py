"""Images that a run keeps: read as what they are, or refused in one line."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data import DATASETS, Sample, Split
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.kept.images import FILE, example_images, keep_images, kept_images, normalised
from tests.support.runs.damage import cut

SIZE = (32, 48)


def images(count: int = 4, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.randint(0, 256, (count, 3, *size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


class White(Split):
    """Two small images."""

    def __len__(self) -> int:
        return 2

    def load(self, index: int) -> Sample:
        return Sample(torch.full((3, 16, 16), 255, dtype=torch.uint8), name=str(index))


def test_images_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert kept_images(tmp_path, SIZE) is None
    keep_images(tmp_path, images())
    again = kept_images(tmp_path, SIZE)
    assert again is not None
    assert torch.equal(again, images())
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"images": images(5)}, "images [5, 3, 32, 48]"),
        ({"images": images(40)}, "is damaged"),  # more bytes than are read
        ({"images": images(1, (32, 32))}, "images [1, 3, 32, 32] torch.uint8"),
        ({"images": images(0)}, "images [0, 3, 32, 48]"),
        ({"images": images()[0]}, "images [3, 32, 48]"),
        ({"images": images(1).float()}, "torch.float32"),
        ({"photos": images()}, "photos [4, 3, 32, 48]"),
        ({}, "holds nothing"),
    ],
)
def test_other_content_is_refused(tensors: dict[str, Tensor], words: str, tmp_path: Path) -> None:
    save_file(tensors, tmp_path / FILE)
    with pytest.raises(UserError, match=re.escape(words)) as error:
        kept_images(tmp_path, SIZE)
    assert "delete it; it is written again" in str(error.value)


@pytest.mark.parametrize("damage", [cut, lambda path: path.write_bytes(b""), lambda path: path.write_text("images")])
def test_damage_is_one_line(damage: Any, tmp_path: Path) -> None:
    keep_images(tmp_path, images())
    damage(tmp_path / FILE)
    with pytest.raises(UserError, match=r"is damaged.*delete it; it is written again from the run's data"):
        kept_images(tmp_path, SIZE)


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        kept_images(tmp_path, SIZE)


def test_they_are_the_first_of_the_training_split_and_not_augmented(tmp_path: Path) -> None:
    dataset = DATASETS.build({"name": "rooms", "size": "tiny", "train": 8, "val": 4, "cache": str(tmp_path)})
    dataset.prepare(["train"])
    backbone = SimpleNamespace(mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
    built = cast(Any, SimpleNamespace(image_size=dataset.image_size, backbone=backbone))
    taken = example_images(built, Experiment(augmentation="survey_nyud"), dataset)
    assert torch.equal(taken, example_images(built, Experiment(), dataset))
    for place, image in enumerate(taken):
        stored = dataset.split("train").load(place).image
        expected = stored if stored.dtype == torch.uint8 else (stored * 255).round().to(torch.uint8)
        assert torch.equal(image, expected)
    torch.testing.assert_close(normalised(taken, built)[:, 1], taken[:, 1] / 255 - 0.25)


@pytest.mark.parametrize(("fill", "edge"), [("clean", [51, 102, 153]), ("reference", [0, 0, 0])])
def test_what_an_image_does_not_cover_is_filled_as_for_the_network(fill: Any, edge: list[int]) -> None:
    backbone = SimpleNamespace(mean=(0.2, 0.4, 0.6), std=(0.5, 0.5, 0.5))
    built = cast(Any, SimpleNamespace(image_size=SIZE, backbone=backbone))
    taken = example_images(built, Experiment(fit="pad", fill=fill), cast(Any, SimpleNamespace(split=lambda _: White())))
    assert taken[1, :, 0, 0].tolist() == edge
    assert taken[1, :, 16, 24].tolist() == [255, 255, 255]
