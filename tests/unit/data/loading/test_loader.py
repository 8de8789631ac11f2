"""Order, augmentation and sharing of batches."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch
from frugalmtl.data import Augmentation, Loader, Sample, Split, Transform, preset
from frugalmtl.tasks import TASKS

TASK_LIST = (TASKS.build("depth"), TASKS.build({"name": "classification", "classes": ("a", "b")}))


class Numbers(Split):
    """Sample i is a picture full of i; every third sample lacks its depth."""

    def __init__(self, count: int, broken: int | None = None, error: Exception | None = None) -> None:
        self.count, self.broken, self.error = count, broken, error

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> Sample:
        if index == self.broken:
            raise self.error or UserError(f"images/{index}.png is not an image: replace it")
        labels = {"classification": torch.tensor([index % 2, 1.0])}
        if index % 3:
            labels["depth"] = torch.full((1, 4, 4), float(index + 1))
        image = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4).repeat(3, 1, 1) + index
        return Sample(image, labels, f"n{index}")


def loader(count: int = 21, split: Numbers | None = None, **options: object) -> Loader:
    transform = Transform(TASK_LIST, 4, options.pop("augmentation", preset("atrc")))  # type: ignore[arg-type]
    return Loader(split or Numbers(count), transform, **{"batch_size": 4, **options})  # type: ignore[arg-type]


def flat(batches: list[Batch]) -> list[object]:
    return [(batch.image, batch.targets, batch.valid) for batch in batches]


def equal(one: list[Batch], other: list[Batch]) -> bool:
    try:
        torch.testing.assert_close(flat(one), flat(other), rtol=0, atol=0)
    except AssertionError:
        return False
    return [batch.names for batch in one] == [batch.names for batch in other]


def test_batches_have_the_promised_form() -> None:
    loading = loader()
    batches = list(loading.epoch(0))
    assert len(batches) == loading.batches_per_epoch == len(loading) == 5
    for batch in batches:
        assert batch.image.shape == (4, 3, 4, 4)
        assert batch.targets["depth"].shape == (4, 1, 4, 4)
        assert batch.valid["depth"].shape == (4, 4, 4)
        assert batch.valid["classification"].shape == (4, 2)
        for row, name in enumerate(batch.names):
            assert batch.valid["depth"][row].any() == (int(name[1:]) % 3 != 0)


def test_epochs_differ_and_repeat() -> None:
    one = loader(seed=7)
    first, second = list(one.epoch(0)), list(one.epoch(1))
    assert not equal(first, second)
    assert equal(first, list(loader(seed=7).epoch(0)))
    assert not equal(first, list(loader(seed=8).epoch(0)))
    names = [name for batch in first for name in batch.names]
    assert len(set(names)) == 20


def test_a_sample_is_changed_anew_in_each_epoch() -> None:
    one = loader()
    first, second = (
        {name: image for batch in one.epoch(epoch) for name, image in zip(batch.names, batch.image, strict=True)}
        for epoch in range(2)
    )
    assert len(first.keys() & second.keys()) >= 19
    assert not any(torch.equal(first[name], second[name]) for name in first.keys() & second.keys())


def test_an_epoch_can_be_entered_in_its_middle() -> None:
    full = list(loader().epoch(3))
    for start in range(6):
        assert equal(full[start:], list(loader().epoch(3, start)))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    alone, helped = loader(), loader(workers=workers)
    for epoch, start in ((0, 0), (1, 2), (0, 0)):  # the same workers serve several epochs
        assert equal(list(alone.epoch(epoch, start)), list(helped.epoch(epoch, start)))
    iterator = helped.epoch(0)
    next(iterator)  # left in its middle: what the workers have read ahead must not leak into the next epoch
    assert equal(list(alone.epoch(5)), list(helped.epoch(5)))


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_each_batch(world: int) -> None:
    whole = list(loader().epoch(2))
    parts = [list(loader(rank=rank, world_size=world).epoch(2)) for rank in range(world)]
    for step, batch in enumerate(whole):
        shares = [part[step] for part in parts]
        assert all(len(share.names) == 4 // world for share in shares)
        assert sorted(batch.names) == sorted(name for share in shares for name in share.names)
        for share in shares:
            for row, name in enumerate(share.names):
                assert torch.equal(share.image[row], batch.image[batch.names.index(name)])


@pytest.mark.parametrize("count", [1, 4, 5, 21])
@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_evaluation_sees_every_sample_exactly_once(count: int, world: int) -> None:
    seen: list[str] = []
    for rank in range(world):
        loading = loader(count, evaluation=True, rank=rank, world_size=world, augmentation=None)
        batches = list(loading.epoch(0))
        assert len(batches) == loading.batches_per_epoch
        seen += [name for batch in batches for name in batch.names]
    assert sorted(seen) == sorted(f"n{index}" for index in range(count))
    if world == 1:
        assert seen == [f"n{index}" for index in range(count)]


@pytest.mark.parametrize("workers", [0, 1])
def test_global_random_numbers_are_left_alone(workers: int) -> None:
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    list(loader(workers=workers).epoch(0))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index]


def test_an_evaluation_keeps_the_last_batch() -> None:
    loading = loader(evaluation=True, augmentation=Augmentation())
    assert [len(batch.names) for batch in loading.epoch(0)] == [4, 4, 4, 4, 4, 1]
    assert loading.batches_per_epoch == 6


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", [None, OSError("disk gone")])
def test_an_error_names_the_sample_in_one_line(workers: int, error: Exception | None) -> None:
    loading = loader(split=Numbers(8, broken=5, error=error), workers=workers)
    with pytest.raises(UserError) as caught:
        list(loading.epoch(0))
    reason = "disk gone" if error else "images/5.png is not an image: replace it"
    assert str(caught.value) == f"cannot load sample 5: {reason}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 3}, "fewer than one batch of 4"),
        ({"count": 0}, "holds no samples"),
        ({"count": 0, "evaluation": True}, "holds no samples"),
        ({"world_size": 3}, "cannot be shared by 3"),
        ({"rank": 2, "world_size": 2}, "rank"),
        ({"workers": -1}, "workers"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        loader(**options)  # type: ignore[arg-type]
