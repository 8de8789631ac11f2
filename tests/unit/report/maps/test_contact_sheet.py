"""Contact sheets of images and labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frugalmtl.report.maps.contact_sheet import LabelledImage, draw_contact_sheet
from frugalmtl.tasks.classification import classification
from frugalmtl.tasks.depth import depth
from frugalmtl.tasks.segmentation import segmentation

TASKS = (segmentation(classes=("a", "b"), name="seg"), depth(), classification(classes=("wet", "dry"), name="weather"))
SIDE = 100
HATCH = ((178, 178, 178), (214, 214, 214))


def share(sheet: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Pixels of a colour, in pictures."""
    return float((sheet == colour).all(-1).sum()) / SIDE**2


def sample(**labels: torch.Tensor) -> LabelledImage:
    valid = {task.name: task.valid(labels[task.name]) for task in TASKS if task.name in labels}
    return LabelledImage("a sample", torch.zeros(3, SIDE, SIDE, dtype=torch.uint8), labels, valid)


def test_a_missing_label_and_pixels_without_one_are_hatched() -> None:
    half = torch.zeros(SIDE, SIDE, dtype=torch.long)
    half[: SIDE // 2] = 255
    whole = draw_contact_sheet([sample(seg=half * 0)], TASKS[:1])
    void = draw_contact_sheet([sample(seg=half)], TASKS[:1])
    missing = draw_contact_sheet([sample()], TASKS[:1])
    hatched = [sum(share(sheet, colour) for colour in HATCH) for sheet in (whole, void)]
    assert hatched == pytest.approx([0.0, 0.5], abs=0.01)  # letters have a few greys
    assert 0.8 < sum(share(missing, colour) for colour in HATCH) < 1.0, "hatched but for two words"


def test_every_class_has_its_colour_in_the_legend() -> None:
    sheet = draw_contact_sheet([sample(seg=torch.zeros(SIDE, SIDE, dtype=torch.long))], TASKS[:1])
    absent = np.frombuffer(bytes.fromhex(TASKS[0].legend["b"][1:]), np.uint8)
    assert (sheet == absent).all(-1).any()


def test_all_cells_have_the_width_of_their_column() -> None:
    metres = torch.rand(1, SIDE, SIDE) + 1
    known = torch.tensor([1.0, 255.0])
    sheet = draw_contact_sheet([sample(depth=metres, weather=known), sample()], TASKS)
    assert sheet.shape[1] == 4 * SIDE + 5 * 10
    assert sheet.dtype == np.uint8
