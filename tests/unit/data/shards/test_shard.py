"""Shard files against flipped bits, cuts and a killed writer."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from frugalmtl.data.shards.shard import Record, Shard, write_shard

DTYPE = np.dtype([("number", "<i8"), ("half", "<f2", (2,))])
FIRST, COUNT = 128, 2


def record(number: int) -> Record:
    values: Record = np.zeros((), DTYPE)
    values["number"], values["half"] = number, number / 8
    return values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "000002.npz"
    write_shard(path, FIRST, map(record, range(FIRST, FIRST + COUNT)))
    return path


def test_numpy_opens_the_file_without_pickle(path: Path) -> None:
    with np.load(path, allow_pickle=False) as archive:
        assert sorted(archive) == [f"{FIRST + row:08d}" for row in range(COUNT)]
        for name in archive:
            assert archive[name] == record(int(name))


def test_records_come_back_as_private_copies(path: Path) -> None:
    shard = Shard(path, FIRST, DTYPE)
    assert shard.numbers == range(FIRST, FIRST + COUNT)
    one = shard.read(FIRST + 1)
    assert one is not None
    assert one == record(FIRST + 1)
    one["half"][:] = 0
    assert shard.read(FIRST + 1) == record(FIRST + 1)


def test_no_flipped_bit_passes_as_a_record(path: Path) -> None:
    """A bit of every byte in turn: a record is right or None, and what is unreadable is not taken for absent."""
    sound = path.read_bytes()
    lost = 0
    for at in range(len(sound)):
        data = bytearray(sound)
        data[at] ^= 1 << (at % 8)
        path.write_bytes(data)
        shard = Shard(path, FIRST, DTYPE)
        assert shard.numbers in (range(FIRST, FIRST + COUNT), range(FIRST, FIRST)), f"byte {at}"
        read = [shard.read(FIRST + row) for row in range(COUNT)]
        for row, values in enumerate(read):
            assert values is None or values == record(FIRST + row), f"byte {at}"
        lost += any(values is None for values in read)
    # Dates, versions and the like in the zip headers may be flipped without harm.
    assert lost > 0.7 * len(sound)


def test_no_cut_passes_as_a_whole_file(path: Path) -> None:
    sound = path.read_bytes()
    for length in range(len(sound)):
        path.write_bytes(sound[:length])
        assert not Shard(path, FIRST, DTYPE).numbers, f"cut to {length} bytes"


def test_a_shard_in_the_place_of_another_is_not_read(path: Path) -> None:
    shard = Shard(path, 0, DTYPE)
    assert not shard.numbers
    assert shard.read(0) is None


def test_another_dtype_is_not_read(path: Path) -> None:
    shard = Shard(path, FIRST, np.dtype([("number", "<i8"), ("half", "<i2", (2,))]))
    assert shard.read(FIRST) is None


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Shard(tmp_path / "none.npz", 0, DTYPE)


def test_a_record_takes_little_more_than_its_bytes(tmp_path: Path) -> None:
    dtype = np.dtype([("picture", "|u1", (3, 64, 64))])
    write_shard(tmp_path / "a.npz", 0, [np.zeros((), dtype)] * 64)
    assert (tmp_path / "a.npz").stat().st_size < 64 * dtype.itemsize * 1.03


def test_a_process_killed_while_it_writes_leaves_the_former_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def half(file: BinaryIO, **members: Record) -> None:
        file.write(before[: len(before) // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(np, "savez", half)
        write_shard(path, FIRST, [record(FIRST)])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2  # and what was half written, under a name that nobody reads
    assert Shard(path, FIRST, DTYPE).read(FIRST) == record(FIRST)
