"""Cache of rendered samples: written whole, checked at every read, made again where damaged or missing."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frugalmtl.core.checks import UserError
from frugalmtl.data.shards.shard import Record, Shard, write_shard

SHARD = 64
"""Records in a shard."""
_FORMAT = "npz, a member per record"

_log = logging.getLogger(__name__)

Arrays = dict[str, npt.NDArray[Any]]


def default_folder() -> Path:
    """``$FRUGALMTL_CACHE`` if set, else ``~/.cache/frugalmtl``."""
    return Path(os.environ.get("FRUGALMTL_CACHE") or Path.home() / ".cache" / "frugalmtl")


class Cache:
    """Records of one dtype by number, in shards of :data:`SHARD`.

    The folder's name holds a fingerprint of ``version``, the dtype and the format of the files, so another renderer or
    layout never reads these files: its records go to a folder beside this one.

    Args:
        folder: parent of the fingerprinted folder.
        name: begins the name of the folder; one sequence of records each.
        version: of the source of the records; a change makes all records anew.
        dtype: of a record; structured, without objects.
        make: number -> record, deterministic; called in worker processes by :func:`prepare`, so it must be picklable.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        version: str,
        dtype: np.dtype[Any],
        make: Callable[[int], Mapping[str, npt.ArrayLike]],
    ) -> None:
        self.dtype, self.make, self.name = dtype, make, name
        stamp = hashlib.sha256(json.dumps([_FORMAT, version, dtype.descr, SHARD]).encode()).hexdigest()[:12]
        self.folder = folder / f"{name}-{stamp}"
        self._shards: dict[int, Shard] = {}
        self._warned = False

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_shards": {}}

    def path(self, shard: int) -> Path:
        """File of a shard."""
        return self.folder / f"{shard:06d}.npz"

    def older(self) -> list[Path]:
        """Folders with records of the same name by another version, layout or format."""
        return sorted(other for other in self.folder.parent.glob(f"{self.name}-*") if other != self.folder)

    def read(self, number: int) -> Arrays:
        """The record ``number``: from its shard, or made on the spot; made anew, with a warning, if it is damaged."""
        index = number // SHARD
        shard = self._open(index)
        if shard is None or (shard.numbers and number not in shard.numbers):
            if not self._warned:
                self._warned = True
                _log.warning(
                    "%s: record %d is not in the cache %s; records are made on the fly, which is slow. Prepare the "
                    "dataset first.",
                    self.name,
                    number,
                    self.folder,
                )
            return self._arrays(self._render(number))
        record = shard.read(number)
        if record is None:
            _log.warning("%s is damaged (record %d); it is made anew", self.path(index), number)
            self.write(index, max(number % SHARD + 1, self._rows(index, shard)))
            shard = self._open(index)
            record = None if shard is None else shard.read(number)
            if record is None:
                raise UserError(f"{self.path(index)} is damaged again right after it was written: check the disk")
        return self._arrays(record)

    def write(self, index: int, count: int) -> None:
        """Write the first ``count`` records of a shard; records that are there and sound are kept, not made again."""
        shard, first = self._open(index), index * SHARD
        records = []
        for number in range(first, first + count):
            kept = None if shard is None else shard.read(number)
            records.append(self._render(number) if kept is None else kept)
        write_shard(self.path(index), first, records)
        self._shards.pop(index, None)

    def incomplete(self, count: int) -> Iterator[tuple[int, int]]:
        """(shard, records) of each shard to be written so that the first ``count`` records are there and sound."""
        for index in range(-(-count // SHARD)):
            wanted = min(SHARD, count - index * SHARD)
            shard = self._open(index)
            numbers = range(0) if shard is None else shard.numbers
            if len(numbers) < wanted or any(shard is None or shard.read(number) is None for number in numbers):
                yield index, max(wanted, len(numbers))
            self._shards.pop(index, None)

    def _open(self, index: int) -> Shard | None:
        if index not in self._shards:
            try:
                self._shards[index] = Shard(self.path(index), index * SHARD, self.dtype)
            except FileNotFoundError:
                return None
        return self._shards[index]

    def _rows(self, index: int, shard: Shard) -> int:
        """Records of a shard; if its directory is damaged, as many as its bytes can hold."""
        return len(shard.numbers) or min(SHARD, self.path(index).stat().st_size // shard.size)

    def _render(self, number: int) -> Record:
        values = self.make(number)
        record: Record = np.zeros((), self.dtype)
        for name in self.dtype.names or ():
            value, shape = np.asarray(values[name]), self.dtype[name].shape
            if value.shape != shape:
                raise ValueError(f"field {name!r} must be {shape}, but got {value.shape}")
            record[name] = value
        return record

    def _arrays(self, record: Record) -> Arrays:
        return {name: record[name] for name in self.dtype.names or ()}
