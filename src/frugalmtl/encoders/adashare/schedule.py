"""Schedule of AdaShare: stages, turns and streams as data, and the curriculum of a search."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor
from typing import Any

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, ParameterGroup, Share, Stage, Turn
from frugalmtl.encoders.adashare.options import POLICY, WEIGHTS, PenaltyOptions, SearchOptions

WARMUP, SEARCH, RETRAIN = "warmup", "search", "retrain"
"""Names of the stages."""

_LOGITS = "encoder.policy.*"
_WEIGHTS = ("encoder.network.*", "decoder.*")


def open_blocks(cycle: int, blocks: int, speed: float) -> int:
    """Number of blocks, from the last backwards, whose choice is open: ``floor(cycle / speed) + 1``, at most all.

    Args:
        cycle: how often both turns have been through (0-based).
        blocks: number of blocks that have a choice.
        speed: cycles from one more block to the next; 0 opens all at once.
    """
    return blocks if speed == 0 else min(blocks, floor(cycle / speed) + 1)


def recipe(search: SearchOptions, penalties: PenaltyOptions) -> tuple[Stage, ...]:
    """All blocks run for all tasks; weights and policies in turns; the chosen policy from the weights of the beginning.

    Args:
        search: shares of the epochs, lengths of the turns, optimisers.
        penalties: of the policy turns.
    """
    turns = search.turns
    adam = {"name": "adam", "lr": search.policy_lr, "weight_decay": 5e-4}
    settings: dict[str, Any] = {"schedule": "constant", "warmup_steps": 0}
    if search.optimizer is not None:
        settings["optimizer"] = dict(search.optimizer)
    stages = (
        Stage(WARMUP, search.warmup_share, frozen=(_LOGITS,)),
        Stage(
            SEARCH,
            search.search_share,
            groups=(ParameterGroup(_LOGITS, optimizer=adam, scheduled=False),),
            turns=(
                Turn(WEIGHTS, turns.weights_epochs, turns.weights_steps, trains=_WEIGHTS, stream=WEIGHTS),
                Turn(
                    POLICY,
                    turns.policy_epochs,
                    turns.policy_steps,
                    trains=(_LOGITS,),
                    stream=POLICY,
                    penalties=penalties.weights(),
                ),
            ),
            settings=settings,
            settled=0.0,
        ),
        Stage(RETRAIN, search.retrain_share(), frozen=(_LOGITS,), fresh=_WEIGHTS),
    )
    return tuple(stage for stage in stages if stage.share > 0)


def retraining() -> tuple[Stage, ...]:
    """The one stage of a policy that is not searched."""
    return (Stage(RETRAIN, 1.0, frozen=(_LOGITS,)),)


def streams(search: SearchOptions, *, scored: bool) -> Mapping[str, Share]:
    """Disjoint parts of the training split: for weights, for policies, and held out to choose a policy by.

    Args:
        search: the shares.
        scored: whether policies are chosen by scores; else nothing reads what is held out, and it has no stream.
    """
    weights, policy, holdout = search.turns.shares()
    return {WEIGHTS: weights, POLICY: policy, **({HOLDOUT: holdout} if scored else {})}


def check_curriculum(epochs: int, blocks: int, search: SearchOptions) -> None:
    """Check that every block's choice is open for at least one cycle of the search.

    With turns in steps nothing is checked, since how many steps an epoch has is not known here.

    Args:
        epochs: of the search.
        blocks: number of blocks that have a choice.
        search: lengths of turns, shares of the data, speed.

    Raises:
        UserError: the search is too short for that.
    """
    turns = search.turns
    if turns.weights_steps is not None or turns.policy_steps is not None:
        return
    cycle = turns.weights_epochs * turns.weights_data + turns.policy_epochs * turns.policy_data
    cycles = max(1, floor(epochs / cycle + 1e-9))
    last = open_blocks(cycles - 1, blocks, search.curriculum_speed)
    if last == blocks:
        return
    needed = ceil((blocks - 1) * search.curriculum_speed) + 1
    raise UserError(
        f"the stage {SEARCH!r} has {epochs} epochs, about {cycles} cycles of {cycle:g} epochs, in which "
        f"curriculum_speed {search.curriculum_speed:g} opens {last} of {blocks} blocks: {needed} cycles are "
        "needed, so train longer, raise search_share, or lower curriculum_speed (0 opens all at once)"
    )
