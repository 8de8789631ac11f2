"""Problems that the check of a dataset reports."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.data import Dataset, Sample, Split
from frugalmtl.data.check import check, look_through
from frugalmtl.data.datasets.folder import Folder
from frugalmtl.tasks import TASKS

SIDE = 16
CONTENT = {
    "root": "data",
    "images": "images/{id}.png",
    "tasks": {
        "classes": {"kind": "segmentation", "classes": ["a", "b", "c"], "files": "classes/{id}.png"},
        "metres": {"kind": "depth", "files": "metres/{id}.npy"},
        "directions": {"kind": "normals", "files": "directions/{id}.npy"},
        "flags": {"kind": "classification", "classes": ["wet"], "table": "flags.csv"},
    },
    "splits": {"train": "train.txt", "val": "val.txt"},
}


def write(root: Path, name: str) -> None:
    source = np.random.default_rng(len(name))
    normals = source.normal(size=(SIDE, SIDE, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    Image.fromarray(source.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(root / f"images/{name}.png")
    Image.fromarray(source.integers(0, 3, (SIDE, SIDE), np.uint8)).save(root / f"classes/{name}.png")
    np.save(root / f"metres/{name}.npy", source.random((SIDE, SIDE)).astype(np.float32) + 0.1)
    np.save(root / f"directions/{name}.npy", normals.astype(np.float32))


def change(path: Path, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    if path.suffix == ".npy":
        np.save(path, edit(np.load(path)))
    else:
        Image.fromarray(edit(np.array(Image.open(path)))).save(path)


def at_corner(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def edit(values: np.ndarray) -> np.ndarray:
        values[0, 0] = value
        return values

    return edit


def cut(path: Path, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def linked_out(path: Path) -> None:
    outside = path.parents[2] / "outside.png"
    shutil.copy(path, outside)
    path.unlink()
    path.symlink_to(outside)


def labels_gone(root: Path) -> None:
    for kind in ("classes", "metres", "directions"):
        for file in (root / kind).glob("unlabelled.*"):
            file.unlink()


# damage -> (id, how it is done, file at fault, words of the report)
DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "cutimage": (lambda root: cut(root / "images/cutimage.png"), "images/cutimage.png", "cannot be read"),
    "noimage": (
        lambda root: (root / "images/noimage.png").write_text("hello"),
        "images/noimage.png",
        "is not an image",
    ),
    "emptyimage": (
        lambda root: (root / "images/emptyimage.png").write_bytes(b""),
        "images/emptyimage.png",
        "is not an image",
    ),
    "goneimage": (lambda root: (root / "images/goneimage.png").unlink(), "images/goneimage.png", "does not exist"),
    "deepimage": (
        lambda root: Image.fromarray(np.full((SIDE, SIDE), 0.5, np.float32)).save(
            root / "images/deepimage.png", "TIFF"
        ),
        "images/deepimage.png",
        "32-bit floats",
    ),
    "linked": (lambda root: linked_out(root / "images/linked.png"), "images/linked.png", "out of the root"),
    "smallmap": (
        lambda root: change(root / "classes/smallmap.png", lambda v: v[:9]),
        "classes/smallmap.png",
        "9 x 16 pixels",
    ),
    "wrongclass": (
        lambda root: change(root / "classes/wrongclass.png", at_corner(3)),
        "classes/wrongclass.png",
        "class 3",
    ),
    "colourmap": (
        lambda root: change(root / "classes/colourmap.png", lambda v: np.stack([v] * 3, -1)),
        "classes/colourmap.png",
        "shape [16, 16, 3]",
    ),
    "cutmap": (lambda root: cut(root / "classes/cutmap.png", 0.5), "classes/cutmap.png", "cannot be read"),
    "infinite": (
        lambda root: change(root / "metres/infinite.npy", at_corner(np.inf)),
        "metres/infinite.npy",
        "infinite values (0.39 % of pixels)",
    ),
    "below": (
        lambda root: change(root / "metres/below.npy", at_corner(-1.0)),
        "metres/below.npy",
        "(0.39 % of pixels outside, most of them -1)",
    ),
    "millimetres": (
        lambda root: change(root / "metres/millimetres.npy", lambda v: v * 1000),
        "metres/millimetres.npy",
        "metres (median)",
    ),
    "alldark": (
        lambda root: change(root / "metres/alldark.npy", lambda v: v * 0),
        "metres/alldark.npy",
        "no pixel with a valid",
    ),
    "cutarray": (lambda root: cut(root / "metres/cutarray.npy"), "metres/cutarray.npy", "cannot be read"),
    "pickled": (
        lambda root: np.save(root / "metres/pickled.npy", np.array([{}], dtype=object), allow_pickle=True),
        "metres/pickled.npy",
        "cannot be read",
    ),
    "words": (
        lambda root: np.save(root / "metres/words.npy", np.array([["a"]])),
        "metres/words.npy",
        "does not hold numbers",
    ),
    "notunit": (
        lambda root: change(root / "directions/notunit.npy", lambda v: v * 2),
        "directions/notunit.npy",
        "unit length",
    ),
    "flatnormals": (
        lambda root: change(root / "directions/flatnormals.npy", lambda v: v[..., :2]),
        "directions/flatnormals.npy",
        "shape",
    ),
    "badcell": (lambda root: None, "flags.csv", "'perhaps' for id 'badcell'"),
}


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[], Folder]:
    root = tmp_path / "data"
    for kind in ("images", "classes", "metres", "directions"):
        (root / kind).mkdir(parents=True)
    for name in (*DAMAGE, "unlabelled", "good", "other"):
        write(root, name)
    rows = "".join(f"{name},{'perhaps' if name == 'badcell' else 1}\n" for name in (*DAMAGE, "other"))
    (root / "flags.csv").write_text("id,wet\n" + rows)
    (root / "train.txt").write_text("\n".join((*DAMAGE, "unlabelled", "good")))
    (root / "val.txt").write_text("other")
    file = tmp_path / "dataset.yaml"
    file.write_text(yaml.safe_dump(CONTENT))
    return lambda: Folder(file=str(file))


def test_every_damage_is_found_exactly_once(dataset: Callable[[], Folder], tmp_path: Path) -> None:
    root = tmp_path / "data"
    for damage, _, _ in DAMAGE.values():
        damage(root)
    (root / "val.txt").write_text("other\ngood")
    problems = check(dataset(), progress=False, workers=2)
    counts = Counter(problem.file.removeprefix(f"{root}/") for problem in problems)
    assert counts == Counter([file for _, file, _ in DAMAGE.values()] + ["good"])
    for _, file, words in DAMAGE.values():
        problem = next(item for item in problems if item.file.endswith(file))
        assert words in problem.what
        assert problem.expected
        assert problem.remedy
        assert "\n" not in str(problem)
    leak = next(item for item in problems if item.file == "good")
    assert leak.what == "is in the splits 'train' and 'val'"


def test_images_without_a_label_and_files_that_take_no_part_are_notes(
    dataset: Callable[[], Folder], tmp_path: Path
) -> None:
    root = tmp_path / "data"
    (root / "flags.csv").write_text("id,wet\n" + "".join(f"{name},1\n" for name in (*DAMAGE, "good", "other")))
    labels_gone(root)
    for file in ("images/new.PNG", "images/.hidden.png", "images/read.txt", "classes/nobody.png", "metres/good.tif"):
        (root / file).write_bytes(b"")
    (root / "classes/good.png").rename(root / "classes/good.tif")
    findings = look_through(dataset(), progress=False)
    assert findings.problems == []
    assert [str(note) for note in findings.notes] == [
        "1 label file of task 'classes' without an image (classes/nobody.png)",
        "1 file in classes/ that no pattern took (classes/good.tif): "
        "write classes/{id}.{png,tif} for task 'classes' to take it",
        "1 file in images/ that no pattern took (images/new.PNG): write images/{id}.{png,PNG} for images to take it",
        "1 file in metres/ that no pattern took (metres/good.tif)",
        "1 of 22 images of split 'train' have no label of any task (unlabelled)",
    ]


def test_images_in_no_list_are_a_note(dataset: Callable[[], Folder], tmp_path: Path) -> None:
    (tmp_path / "data/flags.csv").write_text("id,wet\ngood,1\nother,0\n")
    (tmp_path / "data/train.txt").write_text("good")
    note = look_through(dataset(), progress=False).notes[0]
    assert note.text == f"{len(DAMAGE) + 1} images in no split"
    assert note.names[0] == "images/alldark.png"
    assert str(note).endswith("and 18 more): add the ids to a list, if wanted")


def test_labels_are_counted(dataset: Callable[[], Folder], tmp_path: Path) -> None:
    (tmp_path / "data/flags.csv").write_text("id,wet\ngood,1\nother,0\n")
    folder = dataset()
    counts = look_through(folder, progress=False, workers=2).counts
    samples = list(map(folder.split("train").load, range(len(folder.split("train")))))
    maps = torch.stack([sample.labels["classes"] for sample in samples])
    metres = torch.stack([sample.labels["metres"] for sample in samples])
    train = counts["train"].record(folder.tasks)
    assert train["images"] == len(samples)
    assert train["sizes"] == [{"height": SIDE, "width": SIDE, "images": len(samples)}]
    shares = torch.bincount(maps.flatten(), minlength=3) / maps.numel()
    assert train["tasks"]["classes"]["shares"] == pytest.approx(dict(zip("abc", shares.tolist(), strict=True)))
    assert train["tasks"]["metres"]["median"] == pytest.approx(metres.median().item(), rel=1.5e-3)
    assert train["tasks"]["metres"]["min"] == metres.min()
    assert train["tasks"]["metres"]["max"] == metres.max()
    assert train["tasks"]["flags"] == {
        "labels": 1, "labelled": 1.0, "shares": {"wet": 1.0}, "labels_with": {"wet": 1},
    }  # fmt: skip
    assert counts["val"].record(folder.tasks)["tasks"]["flags"]["shares"] == {"wet": 0.0}


def test_what_is_fine_is_not_reported(dataset: Callable[[], Folder], tmp_path: Path) -> None:
    (tmp_path / "data/flags.csv").write_text("id,wet\ngood,1\nother,0\n")
    assert check(dataset(), progress=False) == []


def test_loading_stops_at_the_first_bad_file_with_the_same_words(dataset: Callable[[], Folder], tmp_path: Path) -> None:
    cut(tmp_path / "data/images/good.png")
    folder = dataset()
    (problem,) = check(folder, ["train"], progress=False, workers=1)[-1:]
    index = folder.split("train").ids.index("good")
    with pytest.raises(UserError) as caught:
        folder.split("train").load(index)
    assert str(caught.value) == str(problem)


def test_an_empty_split_is_a_problem_and_an_unknown_one_an_error(dataset: Callable[[], Folder], tmp_path: Path) -> None:
    (tmp_path / "data/val.txt").write_text("")
    (problem,) = check(dataset(), ["val"], progress=False)
    assert "empty" in problem.what
    with pytest.raises(UserError, match="unknown split"):
        check(dataset(), ["vla"], progress=False)


class Plain(Dataset, Split):
    """A dataset that says nothing about its files."""

    splits = ("train",)
    tasks = (TASKS.build("depth"),)

    def split(self, name: str) -> Plain:
        return self

    def __len__(self) -> int:
        return 3

    def load(self, index: int) -> Sample:
        if index == 1:
            raise UserError("shard 7 is gone")
        depth = torch.ones(1, 4, 4) if index else torch.ones(1, 2, 2)
        return Sample(torch.zeros(3, 4, 4, dtype=torch.uint8), {"depth": depth}, f"s{index}")


def test_whatever_a_decoder_raises_is_the_problem_of_one_sample() -> None:
    class Raising(Plain):
        def load(self, index: int) -> Sample:
            if index == 0:
                raise RuntimeError("decoder error -2")
            return super().load(index)

    first, second = check(Raising(), progress=False)
    assert (first.file, first.what) == ("sample 0", "cannot be read (RuntimeError: decoder error -2)")
    assert second.what == "shard 7 is gone"


def test_any_dataset_can_be_checked() -> None:
    small, gone = check(Plain(), progress=False)
    assert (small.file, small.what) == ("s0", "is 2 x 2 pixels")
    assert (gone.file, gone.what) == ("sample 1", "shard 7 is gone")
