"""Confusion matrices: IoU and lines of a terminal, against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch
from frugalmtl.evaluation.confusion import Confusion
from frugalmtl.evaluation.evaluator import evaluate_with_remarks
from frugalmtl.tasks.depth import depth
from frugalmtl.tasks.segmentation import segmentation

TASK = segmentation(classes=("floor", "wall", "chair", "lamp"), absent="nan")


class Fixed(nn.Module):
    """Predictions that the image holds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = nn.functional.one_hot(image[:, 0].long(), 4).movedim(-1, 1).float()
        return {"segmentation": scores, "depth": image[:, 1:2]}


def test_an_evaluation_counts_labels_by_predictions() -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.randint(0, 3, (4, 3, 6, 7), generator=generator).float()
    label = torch.randint(0, 3, (4, 6, 7), generator=generator)
    valid = torch.rand(4, 6, 7, generator=generator) > 0.3
    metres = torch.ones(4, 1, 6, 7)
    labels, masks = {"segmentation": label, "depth": metres}, {"segmentation": valid, "depth": valid}
    batches = [
        Batch(image[part], *({task: one[part] for task, one in each.items()} for each in (labels, masks)))
        for part in (slice(0, 1), slice(1, 4))
    ]
    result = evaluate_with_remarks(Fixed(), batches, [TASK, depth()])
    truth, guess = label[valid].numpy(), image[:, 0][valid].numpy().astype(int)
    confusion = result.confusions["segmentation"]
    np.testing.assert_array_equal(confusion.counts, confusion_matrix(truth, guess, labels=range(4)))
    assert confusion.iou()[:3] == pytest.approx(jaccard_score(truth, guess, average=None).tolist())
    assert math.isnan(confusion.iou()[3])
    assert np.nanmean(confusion.iou()) == pytest.approx(result.scores["segmentation"]["miou"])
    assert list(result.confusions) == ["segmentation"]
    lines = result.lines()
    assert lines[0].startswith("segmentation: miou ")
    assert any(line.startswith("  iou of each class: floor 0.") and line.endswith("lamp –") for line in lines)
    assert lines[-1].startswith("depth: ")


def test_the_matrix_is_in_percent_of_the_labels_and_left_out_of_many_classes() -> None:
    few = Confusion(["floor", "a longer name"], [[3, 1], [0, 0]]).lines()
    assert few[2:] == [
        "label          floor  a longer name",
        "floor           75.0           25.0",
        "a longer name      –              –",
    ]
    many = Confusion([f"class {index}" for index in range(13)], np.eye(13, dtype=int).tolist())
    assert len(many.lines()) == 1


@pytest.mark.parametrize("counts", [[[1, 2]], [[1, 2], [3]], [[1, 2], [3, -4]]])
def test_a_matrix_is_square_and_counts(counts: list[list[int]]) -> None:
    with pytest.raises(UserError, match="a confusion matrix of 2 classes needs 2 rows of 2 counts"):
        Confusion(["a", "b"], counts)
