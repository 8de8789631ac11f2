"""Checkpoints: whole or not there, and refused in one line where they are damaged."""

from __future__ import annotations

import io
import pickle
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.engine.checkpoints import Checkpoints, load_weights, read_state, restore, step_name
from tests.support.checkpoint_files import replace_file


def module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Checkpoints(tmp_path / "checkpoints").write(step_name(7), module(), nn.Linear(2, 1), {"steps": 7})


def test_round_trip(folder: Path) -> None:
    first, second = module(), nn.Linear(2, 1)
    restore(folder, first, second)
    third = module()
    load_weights(third, folder)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), third.state_dict().values(), strict=True))
    assert read_state(folder, {"steps"}) == {"steps": 7}


def test_only_the_newest_is_kept_and_leftovers_go(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    assert store.latest() is None
    store.write(step_name(1), module(), nn.Identity(), {})
    (tmp_path / ".step-00000002.abc.tmp").mkdir()
    (tmp_path / step_name(2)).mkdir()
    (tmp_path / "notes").mkdir()
    assert store.latest() == tmp_path / step_name(1)
    store.clean()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last", "notes", "step-00000001"]
    assert not (tmp_path / step_name(1) / "balancer.safetensors").exists()
    store.write(step_name(3), module(), nn.Identity(), {})
    assert store.latest() == tmp_path / step_name(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last", "notes", "step-00000003"]


class Killed(BaseException):
    """Ends a writer as a signal would."""


@pytest.mark.parametrize(
    "where", ["pathlib.Path.rename", "os.replace", "frugalmtl.engine.checkpoints.folder.flush_folder"]
)
def test_a_writer_that_is_killed_leaves_a_whole_checkpoint(folder: Path, where: str, monkeypatch: Any) -> None:
    def kill(*_: Any) -> None:
        raise Killed

    store = Checkpoints(folder.parent)
    with monkeypatch.context() as patch:
        patch.setattr(where, kill)
        with pytest.raises(Killed):
            store.write(step_name(8), module(), nn.Linear(2, 1), {"steps": 8})
    latest = store.latest()
    assert latest == folder
    restore(latest, module(), nn.Linear(2, 1))
    store.clean()
    store.write(step_name(8), module(), nn.Linear(2, 1), {"steps": 8})
    assert store.latest() == folder.parent / step_name(8)


def test_a_leftover_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    (tmp_path / step_name(3)).mkdir()
    (tmp_path / step_name(3) / "model.safetensors").write_text("half")
    load_weights(module(), Checkpoints(tmp_path).write(step_name(3), module(), nn.Identity(), {}))


@pytest.mark.parametrize("name", ["../elsewhere", "step-00000009", "", "\0", "final"])
def test_a_pointer_to_nowhere_is_an_error(folder: Path, name: str) -> None:
    (folder.parent / "last").write_text(name)
    with pytest.raises(UserError, match="which is no checkpoint"):
        Checkpoints(folder.parent).latest()


@pytest.mark.parametrize("file", ["model.safetensors", "balancer.safetensors", "state.pt"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "missing"])
def test_damage_is_found(folder: Path, file: str, damage: str) -> None:
    data = (folder / file).read_bytes()
    if damage == "missing":
        (folder / file).unlink()
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        (folder / file).write_bytes({"truncated": data[:middle], "flipped": flipped, "empty": b""}[damage])
    model, balancer = module(), nn.Linear(2, 1)
    before = [tensor.clone() for tensor in (*model.state_dict().values(), *balancer.state_dict().values())]

    def read() -> None:
        read_state(folder, set())
        restore(folder, model, balancer)

    with pytest.raises(UserError, match=r"damaged|missing") as error:
        read()
    assert "\n" not in str(error.value)
    after = [*model.state_dict().values(), *balancer.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("manifest", [None, "", "[]", "{", '{"files": {}}', '{"files": {"state.pt": 3}}'])
def test_a_damaged_manifest_is_found(folder: Path, manifest: str | None) -> None:
    (folder / "manifest.json").unlink()
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    with pytest.raises(UserError, match=r"manifest\.json"):
        read_state(folder, set())


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("style", ["torch", "pickle"])
def test_nothing_in_a_checkpoint_is_executed(folder: Path, tmp_path: Path, style: str) -> None:
    buffer = io.BytesIO()
    if style == "torch":
        torch.save({"steps": Bomb(tmp_path / "fired")}, buffer)
    else:
        pickle.dump({"steps": Bomb(tmp_path / "fired")}, buffer)
    replace_file(folder, "state.pt", buffer.getvalue())
    with pytest.raises(UserError, match="not loaded") as error:
        read_state(folder, {"steps"})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "fired").exists()
    replace_file(folder, "model.safetensors", buffer.getvalue())
    with pytest.raises(UserError, match="damaged"):
        load_weights(module(), folder)
    assert not (tmp_path / "fired").exists()


@pytest.mark.parametrize("content", [[1, 2], {"other": 1}, torch.zeros(2), "steps"])
def test_a_state_of_something_else_is_refused(folder: Path, content: Any) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    replace_file(folder, "state.pt", buffer.getvalue())
    with pytest.raises(UserError, match="not the state of a training"):
        read_state(folder, {"steps"})


def test_files_that_are_no_archives_are_damaged(folder: Path) -> None:
    for data in (b"", b"hello", b"PK\x03\x04" + bytes(100)):
        replace_file(folder, "state.pt", data)
        with pytest.raises(UserError, match=r"state\.pt"):
            read_state(folder, set())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)), r"'0.weight' has shape \[4, 3, 3, 3\]"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), "has not"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(1, 1)), "has no '2.weight'"),
    ],
)
def test_weights_of_another_model_are_refused(folder: Path, other: nn.Module, message: str) -> None:
    before = [tensor.clone() for tensor in other.state_dict().values()]
    with pytest.raises(UserError, match=message):
        load_weights(other, folder)
    assert all(torch.equal(a, b) for a, b in zip(before, other.state_dict().values(), strict=True))


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        load_weights(module(), tmp_path / "nothing")


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 300 bytes: the operating system then refuses writes as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_previous_checkpoint(folder: Path) -> None:
    store = Checkpoints(folder.parent)
    with full_disk(), pytest.raises(UserError, match="previous checkpoint is intact"):
        store.write(step_name(8), module(), nn.Identity(), {"steps": 8})
    assert store.latest() == folder
    assert read_state(folder, {"steps"})["steps"] == 7
    assert sorted(path.name for path in folder.parent.iterdir()) == ["last", "step-00000007"]


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write checkpoint"):
        Checkpoints(tmp_path / "file" / "checkpoints").write(step_name(1), module(), nn.Identity(), {})


def test_copies_of_a_checkpoint_work(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    load_weights(module(), tmp_path / "copy")
