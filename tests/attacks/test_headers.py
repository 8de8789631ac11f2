"""Headers that claim what the file does not hold: zip bombs, arrays of terabytes, names that lead elsewhere."""

from __future__ import annotations

import io
import json
import struct
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
from frugalmtl.engine.checkpoints.tensors import parse_tensors
from tests.attacks.payloads import harmless, refused
from tests.integration.conftest import write_config
from tests.support.checkpoint_files import replace_file

DTYPE = np.dtype([("depth", "f4", (2,))])


def npy(shape: str, descr: str = "'<f4'", more: bytes = b"\0" * 64) -> bytes:
    """An .npy file with any header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + more


ARRAYS = {
    "terabytes": npy("(1000000, 1000000)"),
    "overflow": npy("(9223372036854775807, 9223372036854775807)"),
    "negative": npy("(-1, 5)"),
    "call in the shape": npy("(__import__('os').system('x'),)"),
    "call in the type": npy("(1,)", "__import__('os')"),
    "endless nesting": npy("(" * 5000),
    "objects": npy("(1,)", "'|O'"),
    "long header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 100,
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(kind: str, tmp_path: Path, canary: Path) -> None:
    (tmp_path / "label.npy").write_bytes(ARRAYS[kind])
    with harmless(canary), pytest.raises(BadFileError, match=r"label\.npy"):
        read_array(tmp_path / "label.npy")


@pytest.mark.parametrize("kind", ARRAYS)
def test_members_of_a_cache(kind: str, tmp_path: Path, canary: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shard.npz", "w") as archive:
        archive.writestr("00000000.npy", ARRAYS[kind])
    with harmless(canary):
        assert Shard(tmp_path / "shard.npz", 0, DTYPE).read(0) is None


def compressed_weights(megabytes: int) -> bytes:
    """A file of ``torch.save`` whose tensor is zeros, compressed a thousandfold."""
    plain, bomb = io.BytesIO(), io.BytesIO()
    torch.save({"conv1.weight": torch.zeros(megabytes << 18)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    return bomb.getvalue()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return compressed_weights(8)


def test_zip_bombs_among_weights(bomb: bytes, tmp_path: Path, experiment: Any, canary: Path, capsys: Any) -> None:
    (tmp_path / "bomb.pth").write_bytes(bomb)
    experiment["backbone"]["weights"] = str(tmp_path / "bomb.pth")
    config = write_config(tmp_path / "config.yaml", experiment)
    assert "is compressed" in refused(capsys, ["profile", "--config", str(config)], canary)


def test_zip_bombs_as_states(bomb: bytes, run: Path, canary: Path) -> None:
    folder = run / "checkpoints" / "final"
    replace_file(folder, "state.pt", bomb)
    with harmless(canary), pytest.raises(UserError, match="is compressed"):
        read_state(folder, set())


def test_zip_bombs_and_outward_names_in_a_cache(tmp_path: Path, canary: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shard.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("00000000.npy", b"\0" * (64 << 20))
        archive.writestr("../../../executed", b"x")
    before = sorted(tmp_path.parent.iterdir())
    with harmless(canary):
        assert Shard(tmp_path / "shard.npz", 0, DTYPE).read(0) is None
    assert sorted(tmp_path.parent.iterdir()) == before


def safetensors(header: Any, data: bytes = b"\0" * 16, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], offsets: list[int]) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}


TENSORS = {
    "header of exabytes": safetensors({}, length=2**63),
    "offsets beyond the end": safetensors(entry([4], [0, 2**60])),
    "offsets backwards": safetensors(entry([4], [16, 0])),
    "shape of terabytes": safetensors(entry([10**6, 10**6], [0, 16])),
    "overflowing shape": safetensors(entry([2**33, 2**33], [0, 16])),
    "negative offsets": safetensors(entry([4], [-16, 0])),
    "deep header": safetensors(b'{"a":' * 100_000),
    "deep metadata": safetensors({"__metadata__": {"shared": "[" * 100_000}, **entry([4], [0, 16])}),
    "names of no tensor": safetensors({"__metadata__": {"shared": '{"a": "b"}'}, **entry([4], [0, 16])}),
    "metadata of lists": safetensors({"__metadata__": {"shared": "[[1]]"}, **entry([4], [0, 16])}),
    "two on one place": safetensors(entry([4], [0, 16]) | {"v": entry([4], [0, 16])["w"]}),
    "empty": b"",
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors(kind: str, tmp_path: Path, run: Path, canary: Path, capsys: Any) -> None:
    with harmless(canary), pytest.raises(UserError, match="is damaged"):
        parse_tensors(tmp_path / "model.safetensors", TENSORS[kind])
    replace_file(run / "checkpoints" / "final", "model.safetensors", TENSORS[kind])
    assert "model.safetensors" in refused(capsys, ["deploy", str(run)], canary)
