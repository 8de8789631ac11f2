"""Preparation of caches by several processes, with a bar of the remaining time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from frugalmtl.core.checks import UserError
from frugalmtl.core.terminal import output_console, progress_bar, visible
from frugalmtl.data.shards.cache import Cache

FEW = 256
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def prepare(caches: Sequence[tuple[Cache, int]], workers: int | None = None, progress: bool = True) -> int:
    """Write what is missing or damaged of the first ``count`` records of each cache; verified records stay.

    Folders of another version beside a cache that is filled are left alone, and named in one line on stderr.

    Args:
        caches: pairs (cache, count).
        workers: processes, one thread each; 0 works in this one; None takes one per core, or none for fewer than
            :data:`FEW` records, which are made sooner than processes start.
        progress: draw a bar with the remaining time.

    Returns:
        Number of shards written.

    Raises:
        UserError: the disk is full or not writable, or the processes could not start.
    """
    jobs = [(cache, shard, count) for cache, wanted in caches for shard, count in cache.incomplete(wanted)]
    older = sorted({folder for cache, _, _ in jobs for folder in cache.older()})
    if older:
        listed = ", ".join(folder.name for folder in older)
        output_console(stderr=True, literal=True).print(
            visible(f"{older[0].parent} holds records of another version ({listed}): they are made anew beside them, ")
            + "and those folders may be deleted"
        )
    total = sum(count for _, _, count in jobs)
    if workers is None:
        workers = 0 if total < FEW else os.cpu_count() or 1
    workers = min(workers, len(jobs))
    with progress_bar(shown=progress and bool(jobs)) as bar:
        shown = bar.add_task("preparing images", total=total)
        for done in _work(jobs, workers):
            bar.advance(shown, done)
    return len(jobs)


def _work(jobs: Sequence[tuple[Cache, int, int]], workers: int) -> Iterator[int]:
    if workers < 2:
        for cache, shard, count in jobs:
            cache.write(shard, count)
            yield count
        return
    try:
        with _single_threads(), ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            running = {pool.submit(cache.write, shard, count): count for cache, shard, count in jobs}
            try:
                for future in as_completed(running):
                    future.result()
                    yield running[future]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    except BrokenProcessPool:
        raise UserError(
            "the processes that prepare images ended early: if a script calls this, put the call under "
            "'if __name__ == \"__main__\":' or use workers=0; else look for a lack of memory"
        ) from None


@contextlib.contextmanager
def _single_threads() -> Iterator[None]:
    """New processes inherit one thread for numerical libraries: several that use all cores slow each other down."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
