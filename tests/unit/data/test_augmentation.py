"""Draws and presets of augmentations."""

from __future__ import annotations

from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.data import PRESETS, Augmentation, augmentation, preset
from frugalmtl.data.augmentation import Draw


def test_a_draw_depends_on_the_seed_alone() -> None:
    settings = preset("atrc")
    draws = [settings.draw(seed) for seed in range(50)]
    assert draws == [settings.draw(seed) for seed in range(50)]
    assert len({draw.scale for draw in draws}) == 50


def test_switching_one_change_off_leaves_the_others() -> None:
    full = Augmentation(scale=(0.5, 2.0), rotate=10.0, crop="random", hue=0.1)
    for seed in range(20):
        one, other = full.draw(seed), Augmentation(scale=(0.5, 2.0), crop="random", hue=0.1).draw(seed)
        assert (one.flip, one.scale, one.places, one.hue) == (other.flip, other.scale, other.places, other.hue)
        assert other.degrees == 0.0


def test_draws_keep_to_their_ranges_and_use_them() -> None:
    settings = Augmentation(scale=(0.5, 2.0), rotate=20.0, brightness=0.2, hue=0.1)
    draws = [settings.draw(seed) for seed in range(300)]
    assert 0.4 < sum(draw.flip for draw in draws) / 300 < 0.6
    for values, low, high in (
        ([draw.scale for draw in draws], 0.5, 2.0),
        ([draw.degrees for draw in draws], -20.0, 20.0),
        ([draw.brightness for draw in draws], 0.8, 1.2),
        ([draw.hue for draw in draws], -0.1, 0.1),
    ):
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high
    chosen = {PRESETS["survey_nyud"].draw(seed).scale for seed in range(60)}
    assert chosen == {1.0, 1.2, 1.5}


def test_none_changes_nothing() -> None:
    assert all(preset("none").draw(seed) == Draw() for seed in range(20))


def test_a_config_section_is_read() -> None:
    assert augmentation(None) is None
    assert augmentation("survey_pascal") == PRESETS["survey_pascal"]
    assert augmentation({"hflip": 0.25}) == Augmentation(hflip=0.25)
    assert augmentation({"scale": [0.5, 2.0]}) == Augmentation(scale=(0.5, 2.0))
    two, choice = augmentation({"scale": [1.0, 1.5]}), Augmentation(scale=[1.0, 1.5, 1.0, 1.5])
    assert two is not None
    assert len({two.draw(seed).scale for seed in range(30)}) == 30
    assert {choice.draw(seed).scale for seed in range(30)} == {1.0, 1.5}
    assert augmentation({"scale": [1.0, 1.2, 1.5]}) == Augmentation(scale=(1.0, 1.2, 1.5))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("surveys", "unknown augmentation 'surveys'"),
        ({"flip": 0.5}, "unknown key in augmentation: 'flip'"),
        ({"hflip": "often"}, "hflip"),
        ({"hflip": 1.5}, r"hflip must lie in \[0, 1\]"),
        ({"scale": [2.0, 1.0]}, "scale as a range"),
        ({"scale": [1.0, 0.0, 2.0]}, "scale"),
        ({"rotate": -3.0}, "rotate"),
        ({"hue": 0.7}, "hue"),
        ({"crop": "left"}, "crop"),
    ],
)
def test_what_does_not_fit_is_refused(section: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        augmentation(section)
