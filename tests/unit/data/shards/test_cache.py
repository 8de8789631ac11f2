"""Caches: records from disk, damage, growth, other versions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.data.shards import Cache, default_folder, prepare
from frugalmtl.data.shards.cache import SHARD
from tests.support.runs.logs import warns_in_one_line

DTYPE = np.dtype([("number", "<i8"), ("picture", "|u1", (3, 5)), ("half", "<f2", (4,))])


def render(log: Path | None, number: int) -> dict[str, np.ndarray]:
    if log is not None:
        with log.open("a") as file:
            file.write(f"{number}\n")
    picture = np.arange(15, dtype=np.uint8).reshape(3, 5) + np.uint8(number % 200)
    return {"number": np.int64(number), "picture": picture, "half": np.full(4, number / 8, np.float16)}  # type: ignore[dict-item]


def check(cache: Cache, number: int) -> None:
    record, wanted = cache.read(number), render(None, number)
    assert record.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(record[name], value)
        assert record[name].dtype == value.dtype


def calls(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def cache(tmp_path: Path, log: Path) -> Cache:
    return Cache(tmp_path / "cache", "things", "1", DTYPE, partial(render, log))


COUNT = SHARD + 10


def test_records_come_back_from_disk(cache: Cache, log: Path) -> None:
    assert prepare([(cache, COUNT)], workers=0, progress=False) == 2
    assert calls(log) == list(range(COUNT))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in (0, 7, SHARD - 1, SHARD, COUNT - 1):
            check(cache, number)
    assert len(calls(log)) == COUNT
    assert prepare([(cache, COUNT)], workers=0, progress=False) == 0


def test_arrays_are_writable_and_private(cache: Cache) -> None:
    prepare([(cache, 2)], workers=0, progress=False)
    first = cache.read(1)
    first["picture"][:] = 0
    check(cache, 1)


def test_a_missing_record_is_made_on_the_fly_with_one_warning(cache: Cache, log: Path) -> None:
    with warns_in_one_line("not in the cache"):
        check(cache, 3)
        check(cache, 4)
    assert calls(log) == [3, 4]
    assert not cache.folder.exists()


def test_growing_keeps_what_is_there(cache: Cache, log: Path) -> None:
    prepare([(cache, 5)], workers=0, progress=False)
    prepare([(cache, 9)], workers=0, progress=False)
    assert calls(log) == list(range(9))
    prepare([(cache, 3)], workers=0, progress=False)
    check(cache, 8)


def changed(path: Path, change: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def flip(data: bytearray, at: int) -> None:
    data[at] ^= 0x40


def exchange(data: bytearray) -> None:
    """The names of the records 8 and 9 in the directory, so that each has the other's place and checksum."""
    start = data.index(b"PK\1\2")
    eight, nine = b"00000008.npy", b"00000009.npy"
    data[start:] = data[start:].replace(eight, b"-").replace(nine, eight).replace(b"-", nine)


DAMAGE: dict[str, Callable[[bytearray], object]] = {
    "a byte of the last record": lambda data: flip(data, data.index(b"PK\1\2") - 3),
    "a member's own name": lambda data: flip(data, data.index(b"00000009") + 7),
    "a name in the directory": lambda data: flip(data, data.rindex(b"00000009") + 7),
    "a checksum in the directory": lambda data: flip(data, data.rindex(b"PK\1\2") + 17),
    "the directory's mark": lambda data: flip(data, data.index(b"PK\1\2")),
    "the end's mark": lambda data: flip(data, -22),
    "the count of members": lambda data: flip(data, -12),
    "cut short": lambda data: data.pop(),
    "cut in the middle": lambda data: data.__delitem__(slice(len(data) // 2, None)),
    "cut to the header": lambda data: data.__delitem__(slice(10, None)),
    "empty": lambda data: data.clear(),
    "longer": lambda data: data.append(0),
    "two records swapped": exchange,
    "the former format": lambda data: data.__setitem__(slice(None), b"FRGLSHD1" + bytes(400)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("way", ["read", "prepare"])
def test_damage_is_record_and_mended(cache: Cache, damage: Callable[[bytearray], object], way: str) -> None:
    prepare([(cache, 10)], workers=0, progress=False)
    changed(cache.path(0), damage)
    if way == "prepare":
        assert prepare([(cache, 10)], workers=0, progress=False) == 1
    else:
        with warns_in_one_line("damaged"):
            check(cache, 9)
            check(cache, 9)


def test_only_the_damaged_record_is_made_again(cache: Cache, log: Path) -> None:
    prepare([(cache, 10)], workers=0, progress=False)
    changed(cache.path(0), DAMAGE["a byte of the last record"])
    log.unlink()
    with warns_in_one_line("damaged"):
        check(cache, 9)
    assert calls(log) == [9]


def test_damage_after_opening_is_record(cache: Cache) -> None:
    prepare([(cache, 10)], workers=0, progress=False)
    check(cache, 9)
    at = cache.path(0).read_bytes().index(b"PK\1\2") - 3
    with cache.path(0).open("r+b") as file:  # in place, under the open map
        file.seek(at)
        file.write(b"\xff")
    with warns_in_one_line("damaged"):
        check(cache, 9)


def test_another_version_or_layout_has_another_folder(cache: Cache, tmp_path: Path, log: Path) -> None:
    make = partial(render, log)
    folders = {
        cache.folder,
        Cache(tmp_path / "cache", "things", "2", DTYPE, make).folder,
        Cache(tmp_path / "cache", "things", "1", DTYPE[["number", "picture"]], make).folder,
        Cache(tmp_path / "cache", "others", "1", DTYPE, make).folder,
    }
    assert len(folders) == 4
    assert cache.folder == Cache(tmp_path / "cache", "things", "1", DTYPE, make).folder


def test_folders_of_another_version_are_left_alone_and_named_once(
    cache: Cache, tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Cache(tmp_path / "cache", "things", "0", DTYPE, partial(render, None))
    prepare([(before, 2)], workers=0, progress=False)
    former = tmp_path / "cache" / "things-0123456789ab" / "000000.shard"
    former.parent.mkdir()
    former.write_bytes(b"FRGLSHD1" + bytes(400))
    prepare([(cache, COUNT)], workers=0, progress=False)
    (text,) = capsys.readouterr().err.splitlines()
    assert "another version" in text
    assert former.parent.name in text
    assert before.folder.name in text
    assert cache.folder.name not in text
    assert calls(log) == list(range(COUNT))
    check(cache, 3)
    assert former.exists()
    assert before.path(0).exists()
    prepare([(cache, COUNT)], workers=0, progress=False)
    assert not capsys.readouterr().err


def test_a_field_of_another_shape_is_refused(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", "things", "1", np.dtype([("picture", "|u1", (3, 6))]), partial(render, None))
    with pytest.raises(ValueError, match=r"'picture' must be \(3, 6\), but got \(3, 5\)"):
        prepare([(cache, 1)], workers=0, progress=False)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    cache = Cache(tmp_path / "cache", "things", "1", DTYPE, partial(render, None))
    with pytest.raises(UserError, match="cannot write"):
        prepare([(cache, 1)], workers=0, progress=False)


def test_the_default_folder_obeys_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRUGALMTL_CACHE", "/somewhere")
    assert default_folder() == Path("/somewhere")
    monkeypatch.delenv("FRUGALMTL_CACHE")
    assert default_folder().parts[-2:] == (".cache", "frugalmtl")
