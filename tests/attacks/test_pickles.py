"""Pickles in every file that a command loads: weights, states, labels, caches."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.data.files.decoding import read_array
from frugalmtl.data.problems import BadFileError
from frugalmtl.data.shards.shard import Shard
from frugalmtl.engine.checkpoints.saved_run import read_state
from tests.attacks.payloads import Payload, harmless, pickled, refused
from tests.integration.conftest import write_config
from tests.support.checkpoint_files import replace_file


def as_zip(canary: Path) -> bytes:
    """A file of ``torch.save`` with a payload among its values."""
    file = io.BytesIO()
    torch.save({"weights": torch.zeros(2), "payload": Payload(canary)}, file)
    return file.getvalue()


def as_legacy(canary: Path) -> bytes:
    """The format of PyTorch before 1.6."""
    file = io.BytesIO()
    torch.save({"payload": Payload(canary)}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def as_tar(canary: Path) -> bytes:
    """The oldest format of PyTorch, whose members are pickles too."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickled(canary)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


FORMATS = {"pickle": pickled, "zip": as_zip, "legacy": as_legacy, "tar": as_tar}


@pytest.mark.parametrize("form", ["pickle", "zip"])
def test_the_payload_works(form: str, tmp_path: Path) -> None:
    """Without this, the tests here could not fail."""
    canary = tmp_path / "executed"
    if form == "pickle":
        pickle.loads(pickled(canary))
    else:
        torch.load(io.BytesIO(as_zip(canary)), weights_only=False)
    assert canary.exists()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
@pytest.mark.parametrize("form", FORMATS)
def test_weights(form: str, suffix: str, tmp_path: Path, experiment: Any, canary: Path, capsys: Any) -> None:
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(FORMATS[form](canary))
    experiment["backbone"]["weights"] = str(file)
    config = write_config(tmp_path / "config.yaml", experiment)
    for command in (["train", "--out", str(tmp_path / "out")], ["profile"]):
        assert file.name in refused(capsys, [*command, "--config", str(config)], canary)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("command", ["evaluate", "deploy", "profile", "predict"])
def test_a_run_of_somebody_else(form: str, command: str, run: Path, canary: Path, capsys: Any) -> None:
    """Weights that are a pickle, with a manifest that agrees."""
    folder = run / "checkpoints" / "final"
    replace_file(folder, "model.safetensors", FORMATS[form](canary))
    replace_file(folder, "state.pt", FORMATS[form](canary))
    more = ["skimage:coffee"] if command == "predict" else []
    assert "model.safetensors" in refused(capsys, [command, str(run), *more], canary)


@pytest.mark.parametrize("form", FORMATS)
def test_states_of_a_training(form: str, run: Path, canary: Path) -> None:
    folder = run / "checkpoints" / "final"
    replace_file(folder, "state.pt", FORMATS[form](canary))
    with harmless(canary), pytest.raises(UserError, match=r"state\.pt"):
        read_state(folder, set())


def test_labels_and_caches_of_objects(tmp_path: Path, canary: Path) -> None:
    np.save(tmp_path / "label.npy", np.array([Payload(canary)], dtype=object), allow_pickle=True)
    with harmless(canary), pytest.raises(BadFileError):
        read_array(tmp_path / "label.npy")
    (tmp_path / "raw.npy").write_bytes(pickled(canary))
    with harmless(canary), pytest.raises(BadFileError):
        read_array(tmp_path / "raw.npy")
    np.savez(tmp_path / "shard.npz", **{"00000000": np.array([Payload(canary)], dtype=object)})
    dtype = np.dtype([("depth", "f4", (2,))])
    with harmless(canary):
        assert Shard(tmp_path / "shard.npz", 0, dtype).read(0) is None


def test_a_shard_with_a_pickle_as_its_member(tmp_path: Path, canary: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shard.npz", "w") as archive:
        archive.writestr("00000000.npy", pickled(canary))
    with harmless(canary):
        assert Shard(tmp_path / "shard.npz", 0, np.dtype([("depth", "f4", (2,))])).read(0) is None
