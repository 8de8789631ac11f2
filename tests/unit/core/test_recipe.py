"""Recipes: stages, their epochs, and the parameters that they train."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage, stage_epochs


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5).filter(any), st.integers(5, 300))
def test_stage_lengths_add_up(shares: list[float], epochs: int) -> None:
    recipe = tuple(Stage(f"stage{index}", share) for index, share in enumerate(shares))
    lengths = stage_epochs(recipe, epochs)
    assert sum(lengths) == epochs
    assert all((length > 0) == (share > 0) for length, share in zip(lengths, shares, strict=True))


def test_too_few_epochs_are_refused() -> None:
    with pytest.raises(UserError, match="at least 2"):
        stage_epochs((Stage("a", 0.5), Stage("b", 0.5)), 1)


def test_frozen_patterns() -> None:
    stage = Stage(frozen=("encoder.*",))
    assert not stage.trains("encoder.network.conv.weight")
    assert stage.trains("decoder.heads.x.weight")
