"""Contract of every kind of task."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.tasks import TASKS, Task

ARGUMENTS: dict[str, dict[str, Any]] = {
    "segmentation": {"classes": ["wall", "floor", "chair"]},
    "classification": {"classes": ["plant", "lamp"]},
}


def build(kind: str, **more: Any) -> Task:
    task: Task = TASKS.build({"name": kind, **ARGUMENTS.get(kind, {})})
    return task


def label_of(task: Task, height: int = 6, width: int = 8) -> Tensor:
    if not task.dense:
        return torch.randint(0, 2, (task.channels,)).float()
    if task.label_type == "classes":
        return torch.randint(0, task.channels, (height, width))
    label = torch.rand(task.label_channels, height, width)
    return torch.nn.functional.normalize(label, dim=0) if task.label_channels == 3 else label


@pytest.mark.parametrize("kind", TASKS.names())
def test_flip_is_an_involution_on_values(kind: str) -> None:
    task = build(kind)
    label = label_of(task)
    assert torch.equal(task.flip(task.flip(label)), label)


@pytest.mark.parametrize("kind", TASKS.names())
def test_scale_and_rotate_compose_and_invert(kind: str) -> None:
    task = build(kind)
    label = label_of(task)
    torch.testing.assert_close(task.scale(task.scale(label, 1.5), 1 / 1.5), label)
    torch.testing.assert_close(task.rotate(task.rotate(label, 33.0), -33.0), label)
    torch.testing.assert_close(task.rotate(task.rotate(label, 20.0), 25.0), task.rotate(label, 45.0))


@pytest.mark.parametrize("kind", TASKS.names())
def test_labels_are_valid_and_holes_are_not(kind: str) -> None:
    task = build(kind)
    label = label_of(task)
    if task.dense and task.label_type == "classes":
        label[0, 0] = 1  # parts need a person
    else:
        label = label.clamp(min=1e-3) if task.label_channels else label
    assert task.valid(label).dtype == torch.bool
    assert task.valid(label).shape == (label.shape[-2:] if task.dense else label.shape)
    assert task.valid(label).all()
    hole = label.clone()
    if task.ignore is not None:
        hole[...] = task.ignore
    elif task.kind in {"depth", "normals"}:
        hole[...] = 0
    else:
        hole[...] = 255
    assert not task.valid(hole).any()


@pytest.mark.parametrize("kind", TASKS.names())
def test_decoded_predictions_are_drawn_or_described(kind: str) -> None:
    task = build(kind)
    raw = torch.randn(2, task.channels, 6, 8) if task.dense else torch.randn(2, task.channels)
    decoded = task.decode(raw)
    assert len(decoded) == 2
    if task.dense:
        picture = task.draw(decoded[0])
        assert picture.shape == (6, 8, 3)
        assert picture.dtype.name == "uint8"
        assert task.draw(label_of(task)).shape == (6, 8, 3)
        assert list(task.legend) == list(task.classes)
        assert bool(task.legend) != bool(task.reads), "either classes have colours, or one line says how to read it"
        if task.label_type == "classes":
            for index, colour in enumerate(task.legend.values()):
                pixel = task.draw(torch.full((1, 1), index))[0, 0]
                assert colour == "#" + bytes(pixel.tolist()).hex()
    else:
        assert set(task.describe(decoded[0])) <= set(task.classes)


@pytest.mark.parametrize("kind", [kind for kind in TASKS.names() if build(kind).colour_scale is not None])
def test_a_shared_scale_draws_one_map_as_the_task_does(kind: str) -> None:
    task = build(kind)
    label = label_of(task) + 0.1
    assert task.colour_scale is not None
    scale = task.colour_scale([label])
    assert (scale.draw(label) == task.draw(label)).all()
    assert scale.value_at(0.0) == pytest.approx(scale.low)
    assert scale.value_at(1.0) == pytest.approx(scale.high)
    wide = task.colour_scale([label, 2 * label])
    assert wide.low == pytest.approx(scale.low, rel=0.2)
    assert wide.high > scale.high
    assert task.draw(torch.zeros_like(label)).max() == 0, "nothing to scale is drawn black"


def test_normals_turn_with_the_image() -> None:
    """A wall facing right, seen in an image turned by 90 degrees counter-clockwise, faces up."""
    task = build("normals")
    right = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    up = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    torch.testing.assert_close(task.rotate(right, 90.0), up, atol=1e-6, rtol=0)
    assert torch.equal(task.flip(right), -right)


def test_people_free_images_say_nothing_about_parts() -> None:
    task = build("human_parts")
    assert not task.valid(torch.zeros(4, 4, dtype=torch.long)).any()
    assert task.valid(torch.eye(4, dtype=torch.long)).all()


def test_magnified_scenes_are_nearer() -> None:
    assert build("depth").scale(torch.full((1, 1, 1), 3.0), 1.5).item() == pytest.approx(2.0)
