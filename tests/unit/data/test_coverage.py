"""Coverage of splits by labels: what is refused, and what is a note."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.data import Split
from frugalmtl.data.coverage import coverage, require_labels
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.data.problems import Problem
from tests.support.toy_folder import dataset_file


class Counted(Split):
    """A split of so many samples, of which so many have labels."""

    def __init__(self, samples: int, **labels: int) -> None:
        self.samples, self.labels = samples, labels

    def __len__(self) -> int:
        return self.samples

    def has_label(self, index: int, task: str) -> bool:
        return index < self.labels[task]


def test_no_label_is_a_problem_and_few_are_a_note() -> None:
    judged = coverage(Counted(1000, depth=0, seg=10, edges=50, normals=1000), "train", ["depth", "seg", "edges"])
    assert judged.absent == ("depth",)
    (problem,) = judged.problems
    assert "0 of 1000 samples have a label of task 'depth'" in str(problem)
    assert tuple(map(str, judged.notes)) == ("task 'seg' has labels for 10 of 1000 images of split 'train' (1 %)",)


def test_a_split_that_says_nothing_has_all_labels() -> None:
    class Silent(Split):
        def __len__(self) -> int:
            return 3

    assert coverage(Silent(), "train", ["depth"]).problems == ()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A hundred images by name alone: nothing here is opened."""
    for folder, count in (("image", 100), ("seg", 100), ("depth", 1)):
        (tmp_path / folder).mkdir()
        for index in range(count):
            (tmp_path / folder / f"im{index:02d}.png").touch()
    (tmp_path / "train.txt").write_text("".join(f"im{index:02d}\n" for index in range(90)))
    (tmp_path / "val.txt").write_text("".join(f"im{index:02d}\n" for index in range(90, 100)))
    return tmp_path


def test_existence_is_judged_without_opening_a_file(root: Path) -> None:
    dataset = Folder(file=str(dataset_file(root)))
    (note,) = require_labels(dataset, ["seg", "depth"], ["train"])
    assert note == "task 'depth' has labels for 1 of 90 images of split 'train' (1.1 %)"
    assert require_labels(dataset, ["seg"], ["train", "val"]) == []
    with pytest.raises(UserError, match=r"split 'val' cannot be used: depth/\{id\}\.png: 0 of 10 .*name another split"):
        require_labels(dataset, ["seg", "depth"], ["train", "val"])


def test_what_is_left_out_is_a_note_and_more_problems_are_counted() -> None:
    class Odd(Counted):
        skipped = (Problem("x\\n.png", "is left out", "a name", "rename it"),)

    class Source:
        tasks = ()

        def split(self, name: str) -> Split:
            return Odd(4, depth=4) if name == "train" else Counted(4, depth=0, seg=0)

    dataset: object = Source()
    (note,) = require_labels(dataset, ["depth"], ["train"])  # type: ignore[arg-type]  # a dataset as far as it is asked
    assert note.startswith("split 'train': x\\n.png: is left out")
    with pytest.raises(UserError, match=r"and 1 more: 'frugalmtl data check' lists all"):
        require_labels(dataset, ["depth", "seg"], ["val"])  # type: ignore[arg-type]
