from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.data.cache import SHARD, Cache, Field, default_folder
from frugalmtl.data.prepare import prepare

FIELDS = (Field("number", "<i8", ()), Field("picture", "|u1", (3, 5)), Field("half", "<f2", (4,)))


def made(log: Path | None, number: int) -> dict[str, np.ndarray]:
    if log is not None:
        with log.open("a") as file:
            file.write(f"{number}\n")
    picture = np.arange(15, dtype=np.uint8).reshape(3, 5) + np.uint8(number % 200)
    return {"number": np.int64(number), "picture": picture, "half": np.full(4, number / 8, np.float16)}  # type: ignore[dict-item]


def check(cache: Cache, number: int) -> None:
    found, wanted = cache.read(number), made(None, number)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype


def calls(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def cache(tmp_path: Path, log: Path) -> Cache:
    return Cache(tmp_path / "cache", "things", "1", FIELDS, partial(made, log))


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
    with pytest.warns(UserWarning, match="not in the cache"):
        check(cache, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(cache, 4)
    assert calls(log) == [3, 4]
    assert not cache.folder.exists()


def test_growing_keeps_what_is_there(cache: Cache, log: Path) -> None:
    prepare([(cache, 5)], workers=0, progress=False)
    prepare([(cache, 9)], workers=0, progress=False)
    assert calls(log) == list(range(9))
    prepare([(cache, 3)], workers=0, progress=False)
    check(cache, 8)


def flip_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a byte of the last record": lambda path: flip_byte(path, -3),
    "a checksum": lambda path: flip_byte(path, 12 + 4 * 9 + 1),
    "the magic word": lambda path: flip_byte(path, 0),
    "the count": lambda path: flip_byte(path, 8),
    "the count's high byte": lambda path: flip_byte(path, 11),
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut to the header": lambda path: os.truncate(path, 10),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.open("ab").write(b"x") and None,
    "two records swapped": lambda path: path.write_bytes(swapped(path.read_bytes())) and None,
}


def swapped(data: bytes) -> bytes:
    size, start = sum(field.size for field in FIELDS), 12 + 4 * 10
    one, other = start + 8 * size, start + 9 * size
    body = data[:one] + data[other : other + size] + data[one : one + size]
    sums = data[12 : 12 + 4 * 8] + data[12 + 4 * 9 : 12 + 4 * 10] + data[12 + 4 * 8 : 12 + 4 * 9]
    return data[:12] + sums + body[start:]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("way", ["read", "prepare"])
def test_damage_is_found_and_mended(cache: Cache, damage: Callable[[Path], None], way: str) -> None:
    prepare([(cache, 10)], workers=0, progress=False)
    damage(cache.path(0))
    if way == "prepare":
        assert prepare([(cache, 10)], workers=0, progress=False) == 1
    else:
        with pytest.warns(UserWarning, match="damaged"):
            check(cache, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(cache, 9)


def test_only_the_damaged_record_is_made_again(cache: Cache, log: Path) -> None:
    prepare([(cache, 10)], workers=0, progress=False)
    flip_byte(cache.path(0), -3)
    log.unlink()
    with pytest.warns(UserWarning, match="damaged"):
        check(cache, 9)
    assert calls(log) == [9]


def test_damage_after_opening_is_found(cache: Cache) -> None:
    prepare([(cache, 10)], workers=0, progress=False)
    check(cache, 9)
    with cache.path(0).open("r+b") as file:  # in place, under the open map
        file.seek(-3, os.SEEK_END)
        file.write(b"\xff")
    with pytest.warns(UserWarning, match="damaged"):
        check(cache, 9)


def test_another_version_or_layout_has_another_folder(cache: Cache, tmp_path: Path, log: Path) -> None:
    make = partial(made, log)
    folders = {
        cache.folder,
        Cache(tmp_path / "cache", "things", "2", FIELDS, make).folder,
        Cache(tmp_path / "cache", "things", "1", FIELDS[:2], make).folder,
        Cache(tmp_path / "cache", "others", "1", FIELDS, make).folder,
    }
    assert len(folders) == 4
    assert cache.folder == Cache(tmp_path / "cache", "things", "1", FIELDS, make).folder


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    cache = Cache(tmp_path / "cache", "things", "1", FIELDS, partial(made, None))
    with pytest.raises(UserError, match="cannot write"):
        prepare([(cache, 1)], workers=0, progress=False)


def test_the_default_folder_obeys_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRUGALMTL_CACHE", "/somewhere")
    assert default_folder() == Path("/somewhere")
    monkeypatch.delenv("FRUGALMTL_CACHE")
    assert default_folder().parts[-2:] == (".cache", "frugalmtl")
