"""Scores of models whose predictions are known, alone and split over processes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch, Predictions
from frugalmtl.evaluation.evaluator import evaluate, evaluate_with_remarks
from frugalmtl.tasks import TASKS

SEGMENTATION = TASKS.build({"name": "segmentation", "classes": ["a", "b", "c"]})
DEPTH = TASKS.build("depth")
HELPER = TASKS.build({"name": "edges", "auxiliary": True})


class FromImage(nn.Module):
    """Class scores are the image's channels, depth is its first channel."""

    def __init__(self, deployed: bool) -> None:
        super().__init__()
        self.deployed = deployed
        self.norm = nn.BatchNorm2d(3)
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, image: Tensor) -> Predictions | dict[str, Tensor]:
        self.seen.append((self.training, torch.is_grad_enabled()))
        raw = {"segmentation": image, "depth": image[:, :1]}
        return raw if self.deployed else Predictions(raw)


def batches(sizes: tuple[int, ...] = (2, 3)) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    count = sum(sizes)
    image = torch.rand(count, 3, 4, 6, generator=generator) + 0.1
    labels = torch.randint(0, 3, (count, 4, 6), generator=generator)
    depth = torch.rand(count, 1, 4, 6, generator=generator) + 0.1
    everywhere, nowhere_in_first = torch.ones(count, 4, 6).bool(), torch.ones(count, 4, 6).bool()
    nowhere_in_first[0] = False
    whole = Batch(
        image, {"segmentation": labels, "depth": depth}, {"segmentation": everywhere, "depth": nowhere_in_first}
    )
    parts, start = [], 0
    for size in sizes:
        piece = slice(start, start + size)
        parts.append(
            Batch(
                whole.image[piece],
                {name: target[piece] for name, target in whole.targets.items()},
                {name: valid[piece] for name, valid in whole.valid.items()},
            )
        )
        start += size
    return parts


@pytest.mark.parametrize("deployed", [False, True])
def test_scores_by_hand(deployed):
    [whole] = batches((5,))
    scores = evaluate(FromImage(deployed), batches(), [SEGMENTATION, DEPTH, HELPER])
    assert set(scores) == {"segmentation", "depth"}  # the helper is not scored
    right = (whole.image.argmax(1) == whole.targets["segmentation"]).double().mean()
    assert scores["segmentation"]["pixel_accuracy"] == pytest.approx(right.item())
    error = (whole.image[1:, 0] - whole.targets["depth"][1:, 0]).double()
    assert scores["depth"][DEPTH.primary] == pytest.approx(error.square().mean().sqrt().item(), rel=1e-6)
    assert SEGMENTATION.primary in scores["segmentation"]


def test_split_into_batches_does_not_matter():
    one = evaluate(FromImage(True), batches((5,)), [SEGMENTATION, DEPTH])
    many = evaluate(FromImage(True), batches((1, 1, 3)), [SEGMENTATION, DEPTH])
    for task, values in one.items():
        assert many[task] == pytest.approx(values, rel=1e-12)


def test_mode_and_progress():
    model = FromImage(True)
    model.train()
    model.norm.eval()
    counts: list[int] = []
    evaluate(model, batches(), [DEPTH], progress=counts.append)
    assert counts == [2, 3]
    assert model.seen == [(False, False)] * 2
    assert model.training
    assert not model.norm.training


def test_mode_is_restored_after_an_error():
    model = FromImage(True).train()
    with pytest.raises(UserError, match="but task 'edges' is to be evaluated"):
        evaluate(model, batches(), [TASKS.build("edges")])
    assert model.training


def test_set_without_labels_scores_nan():
    [batch] = batches((2,))
    batch.valid["depth"].zero_()
    assert math.isnan(evaluate(FromImage(True), [batch], [DEPTH])["depth"][DEPTH.primary])


def test_a_missing_value_is_a_dash_with_its_reason():
    [batch] = batches((2,))
    batch.valid["depth"].zero_()
    result = evaluate_with_remarks(FromImage(True), [batch], [SEGMENTATION, DEPTH])
    assert result.remarks == {"depth": dict.fromkeys(result.scores["depth"], "no valid label")}
    lines = result.lines()
    place = next(place for place, line in enumerate(lines) if line.startswith("depth: rmse –"))
    assert lines[place + 1] == "  rmse: no valid label"


def test_the_rule_for_absent_classes_stands_with_the_score():
    [batch] = batches((2,))
    batch.image[:, 0] += 10
    batch.targets["segmentation"].zero_()
    result = evaluate_with_remarks(FromImage(True), [batch], [SEGMENTATION])
    assert result.scores["segmentation"]["miou"] == pytest.approx(1 / 3)
    rule = "2 of 3 classes are in neither labels nor predictions and count as 0 (absent: zero)"
    assert result.remarks["segmentation"] == {"miou": rule}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_predictions_that_are_not_finite_are_refused_with_task_and_image(value):
    class Diverged(FromImage):
        def forward(self, image):
            depth = image[:, :1].clone()
            depth[1, 0, 0, 0] = value
            return {"segmentation": image, "depth": depth}

    [batch] = batches((3,))
    batch.names = ["one", "two", "three"]
    with pytest.raises(UserError, match=r"task 'depth': .* not finite for two:"):
        evaluate(Diverged(True), [batch], [SEGMENTATION, DEPTH])


def test_refusals():
    with pytest.raises(UserError, match="no images"):
        evaluate(FromImage(True), [], [DEPTH])
    with pytest.raises(UserError, match="no task to evaluate"):
        evaluate(FromImage(True), batches(), [HELPER])
    [batch] = batches((1,))
    del batch.targets["depth"]
    with pytest.raises(UserError, match="has labels for"):
        evaluate(FromImage(True), [batch], [DEPTH])


def _process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    mine = batches((1, 2, 2))[rank::2]
    scores = evaluate(FromImage(True), mine, [SEGMENTATION, DEPTH])
    for batch in mine:
        batch.valid["depth"].zero_()
    remarks = evaluate_with_remarks(FromImage(True), mine, [SEGMENTATION, DEPTH]).remarks
    torch.save((scores, remarks), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_score_the_whole_set(tmp_path):
    mp.spawn(_process, (str(tmp_path),), nprocs=2)
    alone = evaluate(FromImage(True), batches((5,)), [SEGMENTATION, DEPTH])
    for rank in range(2):
        scores, remarks = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert remarks["depth"]["rmse"] == "no valid label"
        for task, values in alone.items():
            assert scores[task] == pytest.approx(values, rel=1e-12)
