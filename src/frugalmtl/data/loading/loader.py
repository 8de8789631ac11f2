"""Loading of batches, whose order and augmentation depend on seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate
from torch.utils.data import Dataset as TorchDataset

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.seeding import derive_seed
from frugalmtl.core.types import Batch
from frugalmtl.data.base import Split
from frugalmtl.data.transforms import Example, Transform

_Key = tuple[int, int]  # epoch, sample index
_Parts = tuple[Tensor, dict[str, Tensor], dict[str, Tensor], list[str], tuple[str, ...] | None]


def _stack(examples: Sequence[Example]) -> _Parts:
    """The fields of a batch; in a worker they are stacked right into the memory shared with the main process."""
    names = [example.name for example in examples]
    image, targets, valid = default_collate([(item.image, item.targets, item.valid) for item in examples])
    return image, targets, valid, names, examples[0].tasks


def _check_tasks(examples: Sequence[Example]) -> None:
    for example in examples:
        if example.tasks != examples[0].tasks:
            one, other = (", ".join(item.tasks or ("all",)) for item in (examples[0], example))
            raise UserError(
                f"samples {examples[0].name!r} (tasks: {one}) and {example.name!r} (tasks: {other}) cannot share a "
                "batch: give every batch samples of the same tasks"
            )


def collate(examples: Sequence[Example]) -> Batch:
    """Stack examples of one size and one set of tasks into a batch.

    Raises:
        UserError: the examples are for different tasks.
    """
    _check_tasks(examples)
    return Batch(*_stack(examples))


class Loader:
    """Batches of one split, epoch by epoch.

    An epoch's order is drawn from ``(seed, epoch)`` and a sample's augmentation from ``(seed, epoch, index)``: both
    are the same for any number of workers and processes, and when an epoch is entered in its middle, so a resumed run
    sees exactly what an uninterrupted one would have seen. Only one epoch can be under way at a time.

    Batches lie in page-locked memory if there is a GPU to copy them to.

    Args:
        split: samples.
        transform: sample -> example.
        batch_size: samples per step over **all** processes together.
        seed: of order and augmentation.
        evaluation: every sample exactly once, in stored order; batches may differ in size, also between processes, and
            a process may have fewer batches than another. A training draws a new order in each epoch and leaves out
            the samples that do not fill a batch.
        workers: processes that load; 0 loads in this one. Each uses one thread.
        rank: index of this process; it gets every ``world_size``-th sample of each batch, from ``rank`` on.
        world_size: number of processes.

    Attributes:
        batches_per_epoch: batches that this process gets in one epoch.

    Raises:
        UserError: no samples, fewer samples than a batch, a batch that the processes cannot share evenly.
    """

    def __init__(
        self,
        split: Split,
        transform: Transform,
        *,
        batch_size: int,
        seed: int = 0,
        evaluation: bool = False,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        positive("batch_size", batch_size)
        if workers < 0:
            raise UserError(f"workers must be 0 or more, but got {workers}")
        if not 0 <= rank < world_size:
            raise UserError(f"rank must lie in [0, {world_size}), but got {rank}")
        self._order = _Order(len(split), batch_size, seed, rank, world_size, evaluation)
        self.batches_per_epoch = len(self._order)
        self._loader: DataLoader[_Parts] = DataLoader(
            _Keyed(split, transform, seed),  # type: ignore[arg-type]
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=_stack_or_failure,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_one_thread,
            # A separate generator: else each epoch would draw from the global one, and a resumed run would differ.
            generator=torch.Generator(),
            persistent_workers=workers > 0,
        )

    def __len__(self) -> int:
        return self.batches_per_epoch

    def epoch(self, index: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``index`` from batch ``start`` on.

        Raises:
            UserError: a sample cannot be loaded; the message names it.
        """
        self._order.epoch, self._order.start = index, start
        for parts in self._loader:
            if isinstance(parts, _Failure):
                raise UserError(parts.message)
            yield Batch(*parts)


class _Order(Sampler[list[_Key]]):
    """This process's keys, batch by batch, of the epoch that was set last."""

    def __init__(self, samples: int, batch_size: int, seed: int, rank: int, world_size: int, evaluation: bool) -> None:
        if samples == 0:
            raise UserError("the split holds no samples: check the split's list or count")
        if not evaluation and batch_size % world_size:
            raise UserError(
                f"batch_size {batch_size} cannot be shared by {world_size} processes: take a multiple of it"
            )
        if not evaluation and samples < batch_size:
            raise UserError(
                f"the split holds {samples} samples, fewer than one batch of {batch_size}: take a smaller batch_size"
            )
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.rank, self.world_size, self.evaluation = rank, world_size, evaluation
        self.epoch = self.start = 0

    def __len__(self) -> int:
        full, rest = divmod(self.samples, self.batch_size)
        if not self.evaluation:
            return full
        if self.batch_size < self.world_size:
            # More processes than samples in a batch: the last ranks get nothing of any full batch.
            full = full if self.rank < self.batch_size else 0
        return full + int(rest > self.rank)

    def __iter__(self) -> Iterator[list[_Key]]:
        epoch = self.epoch
        order = np.arange(self.samples)
        if not self.evaluation:
            order = np.random.default_rng(derive_seed(self.seed, epoch, "order")).permutation(self.samples)
        for batch in range(self.start, len(self)):
            share = order[batch * self.batch_size : (batch + 1) * self.batch_size][self.rank :: self.world_size]
            yield [(epoch, int(index)) for index in share]


class _Keyed(TorchDataset[Example]):
    """Key (epoch, index) -> example, or what went wrong."""

    def __init__(self, split: Split, transform: Transform, seed: int) -> None:
        self.split, self.transform, self.seed = split, transform, seed

    def __getitem__(self, key: _Key) -> Example | _Failure:  # type: ignore[override]
        epoch, index = key
        try:
            return self.transform(self.split.load(index), derive_seed(self.seed, epoch, index))
        except (UserError, OSError) as error:
            # Raised again in the main process: the loader would wrap an exception in a page of traceback.
            name = f" ({self.split.ids[index]})" if self.split.ids else ""
            return _Failure(f"cannot load sample {index}{name}: {error}")


class _Failure:
    def __init__(self, message: str) -> None:
        self.message = message


def _stack_or_failure(examples: Sequence[Example | _Failure]) -> _Parts | _Failure:
    failure = next((example for example in examples if isinstance(example, _Failure)), None)
    loaded = [example for example in examples if not isinstance(example, _Failure)]
    try:
        _check_tasks(loaded)
    except UserError as error:
        failure = failure or _Failure(str(error))
    return failure or _stack(loaded)


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
