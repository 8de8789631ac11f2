"""Parts of a split: disjoint, stable, and whole splits in all that they say."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.data import BadFileError, Loader, Problem, Sample, Split, Transform, part
from frugalmtl.data.coverage import coverage, require_labels
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.data.parts import hashed
from frugalmtl.tasks import make_task
from tests.support.toy_folder import dataset_file, write_folder

CUTS = (0.0, 0.1, 0.35, 0.8, 1.0)


class Named(Split):
    """Samples known by their names; those that begin with ``bad`` cannot be loaded."""

    skipped = (Problem("odd.png", "is left out", "a name", "rename it"),)

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ids(self) -> Sequence[str]:
        return self.names

    def load(self, index: int) -> Sample:
        name = self.names[index]
        if name.startswith("bad"):
            raise BadFileError(Problem(f"{name}.png", "is damaged", "an image", "write it again"))
        return Sample(torch.zeros(3, 8, 8, dtype=torch.uint8), name=name)

    def has_image(self, index: int) -> bool:
        return not self.names[index].startswith("lost")

    def has_label(self, index: int, task: str) -> bool:
        return self.names[index].endswith(task)

    def listed_problems_of(self, index: int, tasks: Sequence[str]) -> list[Problem]:
        lost = not self.has_image(index)
        return [Problem(self.names[index], "does not exist", "an image", "add it")] if lost else []


def names(count: int, stem: str = "im") -> list[str]:
    return [f"{stem}{index}" for index in range(count)]


def parts(split: Split) -> list[list[str]]:
    return [list(part(split, start, stop).ids) for start, stop in itertools.pairwise(CUTS)]


def test_parts_are_disjoint_and_make_up_the_split_in_its_order() -> None:
    split = Named(names(500))
    chosen = parts(split)
    together = [name for members in chosen for name in members]
    assert len(together) == len(set(together)) == 500
    assert set(together) == set(split.names)
    for members in chosen:
        assert members == [name for name in split.names if name in set(members)]
    for members, share in zip(chosen, (0.1, 0.25, 0.45, 0.2), strict=True):
        assert abs(len(members) / 500 - share) < 4 * (share * (1 - share) / 500) ** 0.5


def test_adding_and_reordering_moves_no_sample() -> None:
    few, many = Named(names(200)), Named([*names(50, "new"), *reversed(names(200)), *names(30, "more")])
    for before, after in zip(parts(few), parts(many), strict=True):
        assert set(before) == {name for name in after if name in set(few.names)}


def test_the_whole_is_the_split_itself() -> None:
    split = Named(names(3))
    assert part(split, 0.0, 1.0) is split


def test_parts_do_not_follow_the_shares_of_a_dataset() -> None:
    """The training split of a folder dataset with shares holds the ids whose own hash is small."""
    train = Named([name for name in names(400) if hashed(name) < 0.5])
    assert 0.3 < len(part(train, 0.5, 1.0)) / len(train) < 0.7


def test_hashes_are_those_of_sha256() -> None:
    assert hashed("") == pytest.approx(0xE3B0C44298FC1C14 / 2**64, abs=2**-53)
    assert all(0.0 <= hashed(name) < 1.0 for name in ["", "\udcff", "ü", *names(100)])


def test_a_part_says_of_its_samples_what_the_split_says() -> None:
    split = Named([*names(40, "im"), *(f"im{index}depth" for index in range(40)), *names(10, "lost"), "bad"])
    for start, stop in itertools.pairwise(CUTS):
        some = part(split, start, stop)
        members = list(some.ids)
        assert len(some) == len(members)
        assert some.skipped == split.skipped
        assert some.present() == sum(not name.startswith("lost") for name in members)
        assert some.labelled("depth") == sum(name.endswith("depth") for name in members)
        assert [some.has_image(index) for index in range(len(some))] == [not n.startswith("lost") for n in members]
        assert [problem.file for problem in some.listed_problems(["depth"])] == [
            name for name in members if name.startswith("lost")
        ]
        for index, name in enumerate(members):
            if name == "bad":
                assert [problem.file for problem in some.examine(index, []).problems] == ["bad.png"]
                with pytest.raises(BadFileError, match=r"bad\.png: is damaged"):
                    some.load(index)
            else:
                assert some.load(index).name == name
        assert list(pickle.loads(pickle.dumps(some)).ids) == members


def test_absence_in_a_part_is_told_from_absence_in_the_split() -> None:
    split = Named(["im0depth", *names(60)])
    at = hashed("part:im0depth")
    without = part(split, at + 1e-9, 1.0) if at < 0.5 else part(split, 0.0, at)
    (problem,) = coverage(without, "train", ["depth"]).problems
    assert f"0 of {len(without)} samples have a label of task 'depth', of which the whole split has 1 in 61" in str(
        problem
    )
    assert "take a larger part" in str(problem)
    assert coverage(without, "train", ["seg"]).problems == (split.absence("seg"),)


def test_a_part_without_samples_is_refused_in_one_line() -> None:
    with pytest.raises(UserError) as caught:
        part(Named(names(3)), 0.5, 0.5 + 1e-9)
    assert str(caught.value) == (
        "the part [0.5, 0.5) of the split holds 0 of its 3 samples: take a larger part, or add samples"
    )


@pytest.mark.parametrize("bounds", [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (0.8, 0.2), (float("nan"), 1.0)])
def test_bounds_are_checked(bounds: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=r"needs 0 <= start < stop <= 1, but got"):
        part(Named(names(3)), *bounds)


def test_samples_without_ids_are_refused() -> None:
    class Nameless(Split):
        def __len__(self) -> int:
            return 4

    with pytest.raises(UserError, match="taken by the ids of its samples, but 0 of 4 have one"):
        part(Nameless(), 0.0, 0.5)


def test_a_damaged_sample_is_named_by_its_id_when_batches_are_loaded() -> None:
    split = Named([*names(30), *names(10, "bad")])
    some = part(split, 0.0, 0.5)
    task = make_task({"kind": "depth"}, "depth")
    transform = Transform((task,), (8, 8), None, (0.0,) * 3, (1.0,) * 3)
    with pytest.raises(UserError, match=r"cannot load sample \d+ \(bad\d\): bad\d\.png: is damaged"):
        list(Loader(some, transform, batch_size=4, evaluation=True).epoch())


def test_a_part_of_a_folder_dataset_says_what_its_files_are(tmp_path: Path) -> None:
    ids = write_folder(tmp_path, 40, (8, 8), folders=("image", "seg", "depth"))
    (tmp_path / "image" / f"{ids[0]}.png").unlink()
    for name in ids[2:]:
        (tmp_path / "depth" / f"{name}.png").unlink()
    split = Folder(file=str(dataset_file(tmp_path))).split("train")
    low, high = part(split, 0.0, 0.5), part(split, 0.5, 1.0)
    assert low.labelled("depth") + high.labelled("depth") == split.labelled("depth") == 2
    assert low.present() + high.present() == split.present() == 29
    listed = [*low.listed_problems(["seg", "depth"]), *high.listed_problems(["seg", "depth"])]
    assert listed == split.listed_problems(["seg", "depth"])
    assert f"image/{ids[0]}.png" in listed[0].file
    place = next(index for index in range(len(high)) if high.has_image(index))
    sample = high.load(place)
    assert sample.name == high.ids[place]
    assert set(sample.labels) >= {"seg"}


def test_a_part_of_a_split_without_images_gives_the_reason_of_the_split(tmp_path: Path) -> None:
    ids = write_folder(tmp_path, 16, (8, 8), folders=("image", "seg"))
    (tmp_path / "train.txt").write_text("".join(f"other-{name}\n" for name in ids))
    dataset = Folder(file=str(dataset_file(tmp_path, ("seg",))))
    split = dataset.split("train")
    assert part(split, 0.0, 0.5).listed_problems(["seg"]) == split.listed_problems(["seg"])
    with pytest.raises(UserError, match="0 of 16 images of split 'train' exist"):
        require_labels(dataset, ["seg"], ["train"])
