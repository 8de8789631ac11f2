"""Shards: uncompressed ``.npz`` files of records, each checked by the CRC-32 of its zip member."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frugalmtl.core.files import atomic_write

Record = npt.NDArray[np.void]
"""An array without axes, of a structured dtype."""

_LOCAL_HEADER = 30
_END = 22
"""Bytes of the record that ends a zip file: a mark, and among others the number of members at 10..12."""


class Shard:
    """Records of one file by number, read from a map of it.

    The member ``00000074.npy`` is record 74, so that NumPy opens the file as well (``numpy.load``, no pickle). A record
    is returned only if its bytes have the checksum that the zip directory states, and if the member itself bears the
    number too: neither a damaged nor a misplaced record is taken for another. Reading keeps no file position, so
    forked processes may share a shard.

    Args:
        path: the file.
        first: number of the first record that may be in it.
        dtype: of a record; structured, without objects.

    Attributes:
        numbers: records of the file, or an empty range if its directory is damaged.

    Raises:
        FileNotFoundError: no such file.
    """

    def __init__(self, path: Path, first: int, dtype: np.dtype[Any]) -> None:
        self.dtype, self.header = dtype, _npy_header(dtype)
        self.size = len(self.header) + dtype.itemsize
        self._bytes, self._members = memoryview(b""), dict[int, zipfile.ZipInfo]()
        try:
            with path.open("rb") as file:
                members = zipfile.ZipFile(file).infolist()
                self._members = {int(member.filename.removesuffix(".npy")): member for member in members}
                self._bytes = np.memmap(file, np.uint8, "r").data
        except FileNotFoundError:
            raise
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
            self._members = {}
        count = len(self._members)
        end = bytes(self._bytes[-_END:])
        whole = end.startswith(b"PK\5\6") and int.from_bytes(end[10:12], "little") == count
        numbers = range(first, first + count)
        self.numbers = numbers if whole and self._members.keys() == set(numbers) else range(first, first)

    def read(self, number: int) -> Record | None:
        """A private copy of a record, or None if it is damaged."""
        if number not in self.numbers:
            return None
        member = self._members[number]
        start, name = member.header_offset + _LOCAL_HEADER, member.filename.encode()
        if member.file_size != self.size or self._bytes[start : start + len(name)] != name:
            return None
        start += sum(struct.unpack_from("<HH", self._bytes, start - 4))  # lengths of the name and of the extra field
        stored = bytearray(self._bytes[start : start + self.size])
        if zlib.crc32(stored) != member.CRC or not stored.startswith(self.header):
            return None
        return np.ndarray((), self.dtype, stored, len(self.header))


def write_shard(path: Path, first: int, records: Iterable[Record]) -> None:
    """Write records with the numbers ``first``, ``first + 1``, ... atomically.

    Raises:
        UserError: the operating system refused to write.
    """
    members = {f"{number:08d}": record for number, record in enumerate(records, first)}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **members)  # type: ignore[arg-type]  # NumPy's option allow_pickle is no member's name


def _npy_header(dtype: np.dtype[Any]) -> bytes:
    """The bytes before the values in an ``.npy`` file of one record."""
    file = io.BytesIO()
    np.save(file, np.zeros((), dtype), allow_pickle=False)
    return file.getvalue()[: -dtype.itemsize]
