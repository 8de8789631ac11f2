"""Task sampling: probabilities, weights and draws."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from frugalmtl.balancing import BALANCERS
from frugalmtl.balancing.scalarization import task_sampling
from frugalmtl.balancing.scalarization.task_sampling import TaskSampling
from frugalmtl.core.checks import UserError
from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.decoders import DECODERS
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.model import MultiTaskModel
from tests.support.balancing.scalar_losses import NAMES, assert_resumes_exactly, losses, step
from tests.support.tiny_training import DEFAULTS, Shared, TinyLoader, build_balancer, run, tasks

SIZES = {"segmentation": 900.0, "depth": 100.0, "edges": 400.0}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1 / 3, 1 / 3, 1 / 3]),
        ({"by": "size", "sizes": SIZES}, [9 / 14, 1 / 14, 4 / 14]),
        ({"by": "size", "sizes": SIZES, "alpha": 0.5}, [3 / 6, 1 / 6, 2 / 6]),
        ({"by": "size", "sizes": SIZES, "alpha": 0.0}, [1 / 3, 1 / 3, 1 / 3]),
        ({"by": "given", "probabilities": {"edges": 1.0, "depth": 0.0, "segmentation": 3.0}}, [0.75, 0.0, 0.25]),
    ],
)
def test_frequencies_are_the_probabilities(options: dict[str, Any], expected: list[float]) -> None:
    torch.manual_seed(1)
    balancer, draws = TaskSampling(tasks(), **options), 3000
    assert list(balancer.probabilities.values()) == pytest.approx(expected)
    counts = Counter(name for _ in range(draws) for name in balancer.choose())
    for name, share in zip(NAMES, expected, strict=True):
        assert abs(counts[name] - draws * share) <= 4 * (draws * share * (1 - share)) ** 0.5


def weight_of_the_draw(balancer: TaskSampling) -> tuple[str, float]:
    (name,) = balancer.choose()
    (weight,) = step(balancer, {name: losses()[name]})
    return name, weight


@pytest.mark.parametrize(("normalise", "target"), [(None, 1.0), ("mean", 1.0), ("sum", 3.0)])
def test_weights_by_hand(normalise: Any, target: float) -> None:
    more: dict[str, Any] = {"weights": {"depth": 5.0, "edges": 1.0}, "normalise": normalise}
    plain = TaskSampling(tasks(), by="size", sizes=SIZES, **more)
    unbiased = TaskSampling(tasks(), by="size", sizes=SIZES, unbiased=True, **more)
    torch.manual_seed(0)
    actual = dict(weight_of_the_draw(plain) for _ in range(60))
    assert actual == pytest.approx({"segmentation": target, "depth": 5 * target, "edges": target})
    actual = dict(weight_of_the_draw(unbiased) for _ in range(60))
    expected = {"segmentation": 14 / 9, "depth": 5 * 14.0, "edges": 14 / 4}
    assert actual == pytest.approx({name: target / 3 * value for name, value in expected.items()})
    assert step(unbiased, (2.0, 0.5, 0.1)) == pytest.approx([target / 3, target * 5 / 3, target / 3])


def test_unbiased_weights_expect_the_mean() -> None:
    """sum_t p_t w_t g_t = 1/T sum_t g_t."""
    balancer = TaskSampling(tasks(), by="size", sizes=SIZES, unbiased=True)
    torch.manual_seed(0)
    weights = dict(weight_of_the_draw(balancer) for _ in range(60))
    assert [balancer.probabilities[name] * weights[name] for name in NAMES] == pytest.approx([1 / 3] * 3)


def test_one_task_alone_is_always_drawn() -> None:
    balancer = TaskSampling(tasks()[1:2], unbiased=True)
    assert weight_of_the_draw(balancer) == ("depth", 1.0)


def test_the_first_process_draws_for_all(monkeypatch: Any) -> None:
    def dictate(tensors: list[torch.Tensor]) -> None:
        tensors[0].fill_(2)

    monkeypatch.setattr(task_sampling, "broadcast", dictate)
    balancer = TaskSampling(
        tasks(), by="size", sizes={"segmentation": 999.0, "depth": 999.0, "edges": 2.0}, unbiased=True
    )
    assert [weight_of_the_draw(balancer) for _ in range(2)] == [("edges", pytest.approx(2000 / (3 * 2)))] * 2
    assert balancer.state_dict() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "size"}, "needs sizes"),
        ({"by": "given"}, "needs probabilities"),
        ({"sizes": SIZES}, "by 'uniform' does not use sizes"),
        ({"by": "given", "probabilities": SIZES, "alpha": 0.5}, "does not use alpha"),
        ({"by": "size", "sizes": SIZES, "probabilities": SIZES}, "does not use probabilities"),
        ({"by": "size", "sizes": {**SIZES, "depht": 1.0}}, "Did you mean 'depth'"),
        ({"by": "size", "sizes": {"depth": 1.0}}, "lack segmentation, edges"),
        ({"by": "size", "sizes": {**SIZES, "depth": 0.0}}, "must be above 0, but got 0.0 for 'depth'"),
        ({"by": "given", "probabilities": {**SIZES, "depth": -1.0}}, "must be 0 or more"),
        ({"by": "given", "probabilities": {**SIZES, "depth": float("nan")}}, "must be 0 or more"),
        ({"by": "given", "probabilities": dict.fromkeys(NAMES, 0.0)}, "are all 0"),
        ({"by": "given", "probabilities": {**SIZES, "depth": 0.0}, "unbiased": True}, "must be above 0"),
        ({"by": "size", "sizes": SIZES, "alpha": -1.0}, "alpha of task_sampling must be 0 or more"),
        ({"by": "turn"}, "by"),
        ({"normalise": "max"}, "normalise"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BALANCERS.build({"name": "task_sampling", **options}, tasks())
    with pytest.raises(UserError, match=message):
        TaskSampling(tasks(), **options)


def steps_of(folder: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record for record in records if "lr_factor" in record]


@pytest.mark.parametrize("more", [{}, {"accumulate": 2}, {"interference_every": 1}], ids=str)
def test_only_the_task_drawn_is_in_the_log(more: dict[str, Any], tmp_path: Path) -> None:
    balancer = {"name": "task_sampling", "by": "size", "sizes": SIZES, "unbiased": True}
    run(tmp_path, balancer=balancer, **more)
    records = steps_of(tmp_path)
    drawn = {next(iter(record["weights"])) for record in records}
    assert len(drawn) > 1
    for record in records:
        (name,) = record["weights"]
        assert record["weights"][name] == pytest.approx(1400 / 3 / SIZES[name])
        assert {part.split("@")[0] for part in record["losses"]} == {name}
        assert set(record.get("norms", {})) <= {name}


def test_heads_of_other_tasks_are_not_run_and_do_not_move(tmp_path: Path) -> None:
    seed_everything(derive_seed(7, "weights"))
    encoder = Shared(NAMES)
    model = MultiTaskModel(encoder, DECODERS.build("independent", encoder.channels, encoder.strides, tasks()), tasks())
    heads: dict[str, torch.nn.Module] = dict(model.decoder.heads.items())  # type: ignore[union-attr,operator]
    calls: Counter[str] = Counter()
    for name, head in heads.items():
        head.register_forward_hook(lambda *_, name=name: calls.update([name]))
    moved: Counter[str] = Counter()
    before = {name: [p.detach().clone() for p in head.parameters()] for name, head in heads.items()}

    def look(done: int) -> None:
        (drawn,) = steps_of(tmp_path)[done - 1]["weights"]
        for name, head in heads.items():
            gradients = [parameter.grad for parameter in head.parameters()]
            assert all((gradient is None) == (name != drawn) for gradient in gradients)
            now = [p.detach().clone() for p in head.parameters()]
            moved[name] += any(not torch.equal(old, new) for old, new in zip(before[name], now, strict=True))
            before[name] = now

    settings = TrainSettings(**{**DEFAULTS, "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9}})
    balancer = build_balancer({"name": "task_sampling", "by": "size", "sizes": SIZES})
    train(TrainJob(model, balancer, settings, {"train": TinyLoader()}, tmp_path), on_step=look)
    drawn = Counter(next(iter(record["weights"])) for record in steps_of(tmp_path))
    assert drawn.total() == 20
    assert calls == drawn
    assert moved == drawn


def test_a_resumed_run_goes_on_exactly(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    assert_resumes_exactly(tmp_path, "task_sampling", [1, 4], accumulate=2, epochs=2)
    assert steps_of(tmp_path / "whole")[-1]["weights"] == steps_of(tmp_path / "parts")[-1]["weights"]
