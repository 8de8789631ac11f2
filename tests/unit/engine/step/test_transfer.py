"""Batches on their way to the device."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.core.types import Batch
from frugalmtl.engine.step.transfer import transferred
from tests.support.tiny_training import build_batch


def test_on_a_cpu_a_batch_is_loaded_when_it_is_asked_for() -> None:
    asked: list[int] = []

    def groups() -> object:
        for number in range(3):
            asked.append(number)
            yield [build_batch(number)]

    stream = transferred(groups(), list, torch.device("cpu"))  # type: ignore[arg-type]
    assert next(stream)[0].names == build_batch(0).names
    assert asked == [0]
    assert [group[0].names for group in stream] == [build_batch(number).names for number in (1, 2)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="copies to a GPU")
def test_on_a_gpu_the_batches_are_the_same_and_one_ahead() -> None:
    device, asked = torch.device("cuda"), list[int]()

    def groups() -> object:
        for number in range(20):
            asked.append(number)
            yield [build_batch(number, 64)]

    def move(group: object) -> list[Batch]:
        return [batch.to(device, non_blocking=True) for batch in group]  # type: ignore[attr-defined]

    for number, (batch,) in enumerate(transferred(groups(), move, device)):  # type: ignore[arg-type]
        assert asked[-1] == min(number + 1, 19)
        expected = build_batch(number, 64)
        assert torch.equal(batch.image.cpu(), expected.image)
        assert all(torch.equal(batch.targets[name].cpu(), value) for name, value in expected.targets.items())
