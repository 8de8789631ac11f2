"""Pictures and words of single samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frugalmtl.core.checks import UserError
from frugalmtl.report import Cell, Shown, Word, make_panels
from frugalmtl.report.maps.hatching import hatch
from frugalmtl.tasks.classification import classification
from frugalmtl.tasks.depth import depth
from frugalmtl.tasks.segmentation import segmentation

MAP = segmentation(classes=("a", "b"))
WORDS = classification(classes=("lamp", "window", "mirror"))
ONE = classification(name="place", classes=("kitchen", "office"), exclusive=True)
IMAGE = torch.arange(3 * 8 * 10, dtype=torch.uint8).reshape(3, 8, 10)


def _picture(folder: Path, cell: Cell) -> np.ndarray:
    return np.asarray(Image.open(folder / cell.picture))


def test_maps_are_drawn_by_the_task_and_hatched_where_there_is_no_label(tmp_path: Path) -> None:
    label = torch.zeros(8, 10, dtype=torch.long)
    label[:, 5:] = 1
    label[:4, :5] = 255
    guess = torch.ones(8, 10, dtype=torch.long)
    (panel,) = make_panels([Shown("s", IMAGE, {MAP.name: label}, {"r": {MAP.name: guess}})], [MAP], tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / panel.image)), IMAGE.permute(1, 2, 0).numpy())
    drawn = _picture(tmp_path, panel.labels[MAP.name])
    np.testing.assert_array_equal(drawn[label.numpy() != 255], MAP.draw(label)[label.numpy() != 255])
    assert set(np.unique(drawn[:4, :5])) == {178, 214}
    np.testing.assert_array_equal(_picture(tmp_path, panel.predictions["r"][MAP.name]), MAP.draw(guess))


def test_depth_of_one_image_is_on_the_labels_scale_with_a_bar(tmp_path: Path) -> None:
    task = depth()
    label = torch.linspace(2.0, 4.0, 80).reshape(1, 8, 10)
    label[0, 0] = 0.0
    guesses = {"near": {task.name: label.clamp(min=2.0)}, "far": {task.name: label.clamp(min=2.0) + 50}}
    (panel,) = make_panels([Shown("s", IMAGE, {task.name: label}, guesses)], [task], tmp_path)
    truth = _picture(tmp_path, panel.labels[task.name])
    near, far = (_picture(tmp_path, panel.predictions[row][task.name]) for row in ("near", "far"))
    assert truth.shape == near.shape == far.shape
    np.testing.assert_array_equal(truth[1:], near[1:])
    assert (truth[8:] == far[8:]).all(), "the same bar"
    assert len(np.unique(far[:8].reshape(-1, 3), axis=0)) == 1, "all beyond the far end of the scale"


def test_photographs_have_the_scale_of_all_predictions(tmp_path: Path) -> None:
    task = depth()
    guesses = {row: {task.name: torch.full((1, 8, 10), metres)} for row, metres in (("near", 1.0), ("far", 9.0))}
    (panel,) = make_panels([Shown("s", IMAGE, {}, guesses)], [task], tmp_path)
    near, far = (_picture(tmp_path, panel.predictions[row][task.name]) for row in ("near", "far"))
    assert near[0, 0].sum() > far[0, 0].sum()


def test_a_given_mask_wins_over_the_tasks_own(tmp_path: Path) -> None:
    label, known = torch.zeros(8, 10, dtype=torch.long), torch.zeros(8, 10, dtype=torch.bool)
    (panel,) = make_panels([Shown("s", IMAGE, {MAP.name: label}, {}, {MAP.name: known})], [MAP], tmp_path)
    assert panel.labels[MAP.name] == Cell()
    known[0, 0] = True
    (panel,) = make_panels([Shown("s", IMAGE, {MAP.name: label}, {}, {MAP.name: known})], [MAP], tmp_path)
    drawn = _picture(tmp_path, panel.labels[MAP.name])
    np.testing.assert_array_equal(drawn, hatch(MAP.draw(label), known.numpy()))


def test_words_are_marked_against_the_label(tmp_path: Path) -> None:
    label, guess = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.9, 0.2, 0.7])
    (panel,) = make_panels([Shown("s", IMAGE, {WORDS.name: label}, {"r": {WORDS.name: guess}})], [WORDS], tmp_path)
    assert panel.labels[WORDS.name].words == [Word("lamp"), Word("window")]
    said = panel.predictions["r"][WORDS.name].words
    assert said == [Word("lamp", "right"), Word("mirror", "wrong"), Word("window", "missed")]


def test_attributes_without_a_label_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    label, guess = torch.tensor([1.0, 1.0, -1.0]), torch.tensor([0.9, 0.9, 0.9])
    (panel,) = make_panels([Shown("s", IMAGE, {WORDS.name: label}, {"r": {WORDS.name: guess}})], [WORDS], tmp_path)
    said = panel.predictions["r"][WORDS.name].words
    assert said is not None
    assert [word.mark for word in said] == ["right", "right", "unknown"]


@pytest.mark.parametrize(
    ("label", "marks"),
    [(0, [("office", "wrong"), ("kitchen", "missed")]), (1, [("office", "right")]), (255, [("office", "")])],
)
def test_one_class_out_of_many(tmp_path: Path, label: int, marks: list[tuple[str, str]]) -> None:
    shown = Shown("s", IMAGE, {ONE.name: torch.tensor(label)}, {"r": {ONE.name: torch.tensor(1)}})
    (panel,) = make_panels([shown], [ONE], tmp_path)
    assert [(word.text, word.mark) for word in panel.predictions["r"][ONE.name].words or []] == marks
    assert (panel.labels[ONE.name] == Cell()) == (label == 255)


def test_missing_labels_and_predictions_stay_missing(tmp_path: Path) -> None:
    (panel,) = make_panels(
        [Shown("s", IMAGE, {}, {"r": {MAP.name: torch.zeros(8, 10).long()}})], [MAP, WORDS], tmp_path
    )
    assert panel.labels == {}
    assert list(panel.predictions["r"]) == [MAP.name]


def test_images_of_another_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="uint8"):
        make_panels([Shown("s", IMAGE.float())], [MAP], tmp_path)
