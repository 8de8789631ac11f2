"""Rendered samples on disk: written whole, checked at every read, made again when they are damaged or missing."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import atomic_write

Record = dict[str, npt.NDArray[np.generic]]
MAGIC = b"FRGLSHD1"
SHARD = 64
"""Records in a shard."""


@dataclass(frozen=True)
class Field:
    """One array of a record.

    Attributes:
        name: key.
        dtype: NumPy type with byte order, e.g. ``"<f2"``.
        shape: of one record.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes in one record."""
        return np.dtype(self.dtype).itemsize * prod(self.shape)


def default_folder() -> Path:
    """``$FRUGALMTL_CACHE`` if set, else ``~/.cache/frugalmtl``."""
    return Path(os.environ.get("FRUGALMTL_CACHE") or Path.home() / ".cache" / "frugalmtl")


class Cache:
    """Records of fixed size by number, in shards of :data:`SHARD`.

    A shard is the magic word, the number of records, a CRC-32 per record (of the record's number and bytes) and the
    records. The folder's name holds a fingerprint of ``version`` and the fields, so another renderer or layout never
    reads these files. Reading maps the file and checks the record's sum every time: a damaged record is never returned.

    Args:
        folder: parent of the fingerprinted folder.
        name: begins the names of folder and files; one sequence of records each.
        version: of the source of the records; a change makes all records anew.
        fields: layout of a record.
        make: number -> record, deterministic; called in worker processes by :func:`prepare`, so it must be picklable.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        version: str,
        fields: Sequence[Field],
        make: Callable[[int], Mapping[str, npt.ArrayLike]],
    ) -> None:
        self.fields, self.make, self.name = tuple(fields), make, name
        self.record_size = sum(field.size for field in self.fields)
        layout = [[field.name, field.dtype, field.shape] for field in self.fields]
        stamp = hashlib.sha256(json.dumps([MAGIC.decode(), version, layout, SHARD]).encode()).hexdigest()[:12]
        self.folder = folder / f"{name}-{stamp}"
        self._maps: dict[int, npt.NDArray[np.uint8]] = {}
        self._warned = False

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_maps": {}}

    def path(self, shard: int) -> Path:
        """File of a shard."""
        return self.folder / f"{shard:06d}.shard"

    def read(self, number: int) -> Record:
        """The record ``number``: from its shard, or made on the spot; made anew, with a warning, if it is damaged."""
        shard, row = divmod(number, SHARD)
        data = self._open(shard)
        if data is None or (self._sound(data) and row >= _rows(data)):
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"{self.name}: record {number} is not in the cache {self.folder}; records are made on the fly, "
                    "which is slow. Prepare the dataset first.",
                    stacklevel=2,
                )
            return self._decode(self._encode(number))
        found = self._record(data, shard, row)
        if found is None:
            warnings.warn(f"{self.path(shard)} is damaged (record {number}); it is made anew", stacklevel=2)
            claimed = _rows(data)
            self.write(shard, max(row + 1, claimed if claimed <= SHARD else 0))
            data = self._open(shard)
            found = None if data is None else self._record(data, shard, row)
            if found is None:
                raise UserError(f"{self.path(shard)} is damaged again right after it was written: check the disk")
        return self._decode(found)

    def write(self, shard: int, count: int) -> None:
        """Write the first ``count`` records of a shard; records that are there and sound are kept, not made again."""
        old = self._open(shard)
        records: list[bytes] = []
        for row in range(count):
            kept = None if old is None else self._record(old, shard, row)
            records.append(self._encode(shard * SHARD + row) if kept is None else kept)
        sums = np.array([_sum(shard * SHARD + row, record) for row, record in enumerate(records)], "<u4")
        with atomic_write(self.path(shard)) as temporary, temporary.open("wb") as file:
            file.write(MAGIC + np.uint32(count).astype("<u4").tobytes() + sums.tobytes())
            file.writelines(records)
        self._maps.pop(shard, None)

    def incomplete(self, count: int) -> Iterator[tuple[int, int]]:
        """(shard, records) of each shard to be written so that the first ``count`` records are there and sound."""
        for shard in range(-(-count // SHARD)):
            wanted = min(SHARD, count - shard * SHARD)
            data = self._open(shard)
            if data is None:
                yield shard, wanted
                continue
            rows = _rows(data) if self._sound(data) else 0
            if rows < wanted or any(self._record(data, shard, row) is None for row in range(rows)):
                yield shard, max(wanted, rows)
            self._maps.pop(shard, None)

    def _open(self, shard: int) -> npt.NDArray[np.uint8] | None:
        if shard not in self._maps:
            try:
                self._maps[shard] = np.memmap(self.path(shard), np.uint8, "r")
            except FileNotFoundError:
                return None
            except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
                self._maps[shard] = np.zeros(0, np.uint8)
        return self._maps[shard]

    def _sound(self, data: npt.NDArray[np.uint8]) -> bool:
        rows = _rows(data)
        return bytes(data[:8]) == MAGIC and 0 < rows <= SHARD and len(data) == 12 + rows * (4 + self.record_size)

    def _record(self, data: npt.NDArray[np.uint8], shard: int, row: int) -> bytes | None:
        """The bytes of a record, or None if its file or itself is damaged."""
        if not self._sound(data) or row >= _rows(data):
            return None
        start = 12 + 4 * _rows(data) + row * self.record_size
        record = data[start : start + self.record_size].tobytes()
        wanted = int.from_bytes(data[12 + 4 * row : 16 + 4 * row].tobytes(), "little")
        return record if _sum(shard * SHARD + row, record) == wanted else None

    def _encode(self, number: int) -> bytes:
        made = self.make(number)
        parts = []
        for field in self.fields:
            values = np.asarray(made[field.name], dtype=field.dtype)
            if values.shape != field.shape:
                raise ValueError(f"field {field.name!r} must be {field.shape}, but got {values.shape}")
            parts.append(values.tobytes())
        return b"".join(parts)

    def _decode(self, record: bytes) -> Record:
        found: Record = {}
        start = 0
        writable = bytearray(record)
        for field in self.fields:
            count = prod(field.shape)
            found[field.name] = np.frombuffer(writable, field.dtype, count, start).reshape(field.shape)
            start += field.size
        return found


def _rows(data: npt.NDArray[np.uint8]) -> int:
    """Records that the header claims; enough for a damaged header to be found out later."""
    return int.from_bytes(data[8:12].tobytes(), "little") if len(data) >= 12 else SHARD


def _sum(number: int, record: bytes) -> int:
    return zlib.crc32(record, zlib.crc32(number.to_bytes(8, "little")))
