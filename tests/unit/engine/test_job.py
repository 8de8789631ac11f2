"""Training jobs: mistakes are refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.job import check_trainable
from tests.support.tiny_training import DEFAULTS, TinyLoader, build_balancer, build_model, run


def scores(_: Any) -> dict[str, dict[str, float]]:
    return {"depth": {"rmse": 1.0}}


class Empty:
    """A loader without batches."""

    batches_per_epoch = 0

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        yield from ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balancer": "auto_lambda"}, "AutoLambda needs a second stream of batches: add 'validation' to 'streams'"),
        ({"balancer": "dtp", "evaluate_every": 1}, "the balancer DTP reads scores: give 'measures'"),
        (
            {"balancer": "dtp", "evaluate_every": 2, "evaluate": scores},
            "reads the scores of every epoch, but evaluate_every is 2: set it to 1",
        ),
        ({"balancer": "dtp", "evaluate": scores}, "but evaluate_every is 0: set it to 1"),
        ({"loader": Empty()}, "the number of batches in an epoch of the stream 'train' must be above 0, but got 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_the_balancer_needs_must_be_there(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, **options)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("balancer", "options"),
    [("dtp", {"evaluate_every": 1}), ("fixed", {}), ("fixed", {"evaluate_every": 3}), ("auto_lambda", {})],
)
def test_settings_that_fit_pass(balancer: str, options: dict[str, Any]) -> None:
    check_trainable(build_model(), build_balancer(balancer), TrainSettings(**{**DEFAULTS, **options}))


def test_a_second_stream_may_be_shorter_and_begins_anew(tmp_path: Path) -> None:
    class Counting(TinyLoader):
        def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
            for number, batch in enumerate(super().epoch(index, start), start=start):
                seen.append((index, number))
                yield batch

    seen: list[tuple[int, int]] = []
    run(tmp_path, balancer="auto_lambda", epochs=1, validation=Counting(batches=2))
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]


def test_what_a_balancer_needs_is_used(tmp_path: Path) -> None:
    assert run(tmp_path / "stream", balancer="auto_lambda", epochs=1, validation=TinyLoader())[2].steps == 5
    result = run(tmp_path / "scores", balancer="dtp", epochs=1, evaluate=scores, evaluate_every=1)[2]
    assert result.steps == 5
