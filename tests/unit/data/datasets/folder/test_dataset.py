"""A user's folder of images and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.data import DATASETS, Transform
from frugalmtl.data.datasets.folder import Folder

HEIGHT, WIDTH = 6, 8
CONTENT: dict[str, Any] = {
    "root": "data",
    "images": "images/{id}.png",
    "tasks": {
        "rooms": {
            "kind": "segmentation",
            "classes": ["a", "b", "c"],
            "files": "classes/{id}.png",
            "encoding": {"name": "index", "first": 1, "void": [0]},
        },
        "distance": {
            "kind": "depth",
            "files": "depth/{id}.png",
            "encoding": {"name": "scaled", "scale": 0.001, "invalid": [65535]},
        },
        "directions": {"kind": "normals", "files": "normals/{id}.png", "encoding": "vectors"},
        "outlines": {"kind": "edges", "files": "edges/{id}.png", "encoding": "binary"},
        "metres": {"kind": "depth", "files": "metres/{id}.npy"},
        "flags": {"kind": "classification", "classes": ["wet", "dark"], "table": "flags.csv"},
        "place": {"kind": "classification", "classes": ["in", "out"], "exclusive": True, "table": "place.csv"},
    },
    "splits": {"train": "train.txt", "test": "test.txt"},
}


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    source = np.random.default_rng(0)
    for name in ("one", "two", "deep/three"):
        save(root / f"images/{name}.png", source.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    classes = source.integers(0, 4, (HEIGHT, WIDTH)).astype(np.uint8)
    classes[0, :4] = [0, 1, 3, 255]
    save(root / "classes/one.png", classes)
    depth = source.integers(1, 9000, (HEIGHT, WIDTH)).astype(np.uint16)
    depth[0, :3] = [0, 1500, 65535]
    save(root / "depth/one.png", depth)
    normals = source.normal(size=(HEIGHT, WIDTH, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    stored = np.rint((normals + 1) * 127.5).astype(np.uint8)
    stored[0, 0] = 128
    save(root / "normals/one.png", stored)
    save(root / "edges/two.png", (source.random((HEIGHT, WIDTH)) > 0.5).astype(np.uint8) * 255)
    save(root / "metres/two.npy", source.random((HEIGHT, WIDTH)).astype(np.float64) + 1)
    (root / "flags.csv").write_text("id,wet,dark,note\none,1,0,x\ntwo,,true,\n")
    (root / "place.csv").write_text("id,class\none,out\ntwo,\n")
    (root / "train.txt").write_text("one\ntwo\n\n")
    (root / "test.txt").write_text("deep/three\n")
    return root


def declare(root: Path, /, **changes: Any) -> str:
    content = {key: value for key, value in {**CONTENT, **changes}.items() if value is not None}
    file = root.parent / "dataset.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(file)


def test_labels_are_read_in_the_tasks_units(root: Path) -> None:
    dataset: Folder = DATASETS.build({"name": "folder", "file": declare(root)})
    assert [task.name for task in dataset.tasks] == list(CONTENT["tasks"])
    train = dataset.split("train")
    sample = train.load(0)
    assert (len(train), sample.name) == (2, "one")
    assert torch.equal(sample.image.permute(1, 2, 0), torch.from_numpy(np.array(Image.open(root / "images/one.png"))))
    assert sample.labels["rooms"][0, :4].tolist() == [255, 0, 2, 255]
    distance = sample.labels["distance"]
    assert distance.shape == (1, HEIGHT, WIDTH)
    assert distance[0, 0, :2].tolist() == pytest.approx([0.0, 1.5])
    assert distance[0, 0, 2].isnan()
    directions = sample.labels["directions"]
    assert directions[:, 0, 0].tolist() == [0.0, 0.0, 0.0]
    torch.testing.assert_close(directions.norm(dim=0).flatten()[1:], torch.ones(HEIGHT * WIDTH - 1))
    assert sample.labels["flags"].tolist() == [1.0, 0.0]
    assert sample.labels["place"].item() == 1
    assert sample.labels.keys() == {"rooms", "distance", "directions", "flags", "place"}
    second = train.load(1)
    assert second.labels.keys() == {"outlines", "metres", "flags", "place"}
    assert set(second.labels["outlines"].unique().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(second.labels["metres"][0], np.load(root / "metres/two.npy"), rtol=1e-6)


def test_missing_pieces_are_invalid_in_an_example(root: Path) -> None:
    dataset = Folder(file=declare(root))
    transform = Transform(dataset.tasks, (HEIGHT, WIDTH))
    first, second = (transform(dataset.split("train").load(index)) for index in range(2))
    assert first.valid["distance"][0, :3].tolist() == [False, True, False]
    assert first.valid["rooms"][0, :4].tolist() == [False, True, True, False]
    assert not first.valid["directions"][0, 0]
    assert second.valid["flags"].tolist() == [False, True]
    assert not second.valid["place"]
    bare = transform(dataset.split("test").load(0))
    assert not any(mask.any() for mask in bare.valid.values())


def test_normals_may_point_elsewhere(root: Path) -> None:
    tasks = {
        "n": {"kind": "normals", "files": "normals/{id}.png", "encoding": {"name": "vectors", "signs": [1, -1, -1]}}
    }
    turned = Folder(file=declare(root, tasks=tasks)).split("train").load(0).labels["n"]
    plain = Folder(file=declare(root)).split("train").load(0).labels["directions"]
    assert torch.equal(turned * torch.tensor([1.0, -1.0, -1.0])[:, None, None], plain)


def test_shares_split_by_id_and_do_not_move_when_images_are_added(root: Path) -> None:
    for index in range(200):
        save(root / f"images/n{index:03d}.png", np.zeros((2, 2, 3), np.uint8))
    shares = {"train": 0.7, "val": 0.3}
    before = Folder(file=declare(root, splits=shares))
    for index in range(200, 240):
        save(root / f"images/n{index:03d}.png", np.zeros((2, 2, 3), np.uint8))
    after = Folder(file=declare(root, splits=shares))
    ids = {name: (set(before.split(name).ids), set(after.split(name).ids)) for name in shares}
    assert all(old <= new for old, new in ids.values())
    assert ids["train"][1].isdisjoint(ids["val"][1])
    assert len(ids["train"][1] | ids["val"][1]) == 243
    assert "deep/three" in ids["train"][1] | ids["val"][1]
    assert 0.6 < len(ids["train"][1]) / 243 < 0.8


def changed(task: str, **changes: Any) -> dict[str, Any]:
    section = {key: value for key, value in {**CONTENT["tasks"][task], **changes}.items() if value is not None}
    return {"tasks": {task: section}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rot": "x"}, "unknown key: 'rot'.*Did you mean 'root'"),
        ({"images": None}, "lacks images"),
        ({"root": "nowhere"}, "is not a folder"),
        ({"images": "images/id.png"}, "must hold {id} exactly once"),
        ({"images": "../images/{id}.png"}, "without '..'"),
        ({"images": "/images/{id}.png"}, "inside the root"),
        ({"tasks": {}}, "declares no task"),
        ({"tasks": {"x": {"files": "x/{id}.png"}}}, "lacks 'kind'"),
        ({"tasks": {"x": {"kind": "dept", "files": "x/{id}.png"}}}, "Did you mean 'depth'"),
        (changed("metres", wieght=2.0), "'wieght'"),
        (changed("metres", name="other"), "remove 'name'"),
        (changed("metres", files=None), "state 'files'"),
        (changed("metres", table="x.csv"), "not from 'table'"),
        (changed("flags", files="x/{id}.png"), "not from 'files'"),
        (changed("flags", encoding="index"), "remove it"),
        (changed("flags", table="none.csv"), "none.csv does not exist"),
        (changed("flags", table="place.csv"), "lacks the column wet, dark"),
        (changed("distance", encoding=None), "needs an 'encoding'"),
        (changed("distance", encoding="index"), "maps of numbers are read by 'binary'"),
        (changed("rooms", encoding="values"), "read by 'colours' or 'index'"),
        (changed("distance", encoding={"name": "scaled"}), "scale"),
        (changed("distance", encoding={"name": "scaled", "scale": 1.0, "of": 2}), "'of'"),
        ({"splits": {}}, "'splits' is empty"),
        ({"splits": {"train": "none.txt"}}, "none.txt does not exist"),
        ({"splits": {"train": 0.5, "val": 0.2}}, "add up to 1"),
        ({"splits": {"train": 1.5, "val": -0.5}}, "0 or more"),
        ({"splits": {"train": 0.5, "val": "test.txt"}}, "not a mixture"),
        ({"splits": {"train": "../train.txt"}}, "without '..'"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(root: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Folder(file=declare(root, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"), [("one\none\n", "twice"), ("../one\n", "without '..'"), ("/etc/x\n", "inside")]
)
def test_a_list_that_does_not_fit_is_refused(root: Path, text: str, message: str) -> None:
    (root / "train.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        Folder(file=declare(root))


@pytest.mark.parametrize("text", ["a: [1", "- a", ""])
def test_a_file_that_is_no_declaration_is_refused(root: Path, text: str) -> None:
    file = root.parent / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"bad[.]yaml"):
        Folder(file=str(file))
    with pytest.raises(UserError, match="does not exist"):
        Folder(file=str(root / "none.yaml"))


def test_a_table_saved_by_a_spreadsheet_is_read(root: Path) -> None:
    (root / "flags.csv").write_text("\ufeffid,wet,dark\r\none, 1 ,FALSE\r\n", newline="")
    assert Folder(file=declare(root)).split("train").load(0).labels["flags"].tolist() == [1.0, 0.0]


def test_an_id_stands_once_in_a_table(root: Path) -> None:
    (root / "flags.csv").write_text("id,wet,dark\none,1,0\none,0,0\n")
    with pytest.raises(UserError, match=r"line 3: the id 'one' stands there twice"):
        Folder(file=declare(root))


def test_an_empty_split_is_refused(root: Path) -> None:
    (root / "test.txt").write_text("\n")
    with pytest.raises(UserError, match="split 'test' is empty"):
        Folder(file=declare(root)).split("test")


def test_links_out_of_the_root_are_not_followed(root: Path) -> None:
    outside = root.parent / "secret.png"
    save(outside, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    (root / "images/one.png").unlink()
    (root / "images/one.png").symlink_to(outside)
    with pytest.raises(UserError, match="leads out of the root"):
        Folder(file=declare(root)).split("train").load(0)
    (root / "flags.csv").unlink()
    (root / "flags.csv").symlink_to(outside)
    with pytest.raises(UserError, match="leads out of the root"):
        Folder(file=declare(root))


def test_links_inside_the_root_are_followed(root: Path) -> None:
    (root / "images/linked.png").symlink_to(root / "images/one.png")
    (root / "train.txt").write_text("linked\n")
    assert Folder(file=declare(root)).split("train").load(0).image.shape == (3, HEIGHT, WIDTH)
