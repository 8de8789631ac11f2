"""Choice of a discrete policy: by held-out scores, by likelihood, by draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np
import torch

from frugalmtl.core.budget import Budget
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Batch, Scores
from frugalmtl.encoders import StageView
from frugalmtl.encoders.adashare.budget import Goal, Mask
from frugalmtl.encoders.adashare.choice import PolicyChoice
from frugalmtl.encoders.adashare.options import PolicyOptions

ODDS = np.array([[2.0, 0.3, -0.2, -2.0], [0.1, -0.4, 1.0, 0.2]])


def choice(seed: int = 0, **options: Any) -> PolicyChoice:
    seed_everything(seed)
    return PolicyChoice(2, 4, PolicyOptions(**options))


def flat_cost(policy: Mask) -> float:
    """A block costs the same wherever it runs."""
    return 1.0 + float(policy.sum())


def goal(budget: str | None = None) -> Goal:
    return Goal(None if budget is None else Budget.parse(budget), flat_cost, 10.0, (2, 4))


class Look:
    """A view whose score is a function of the policy, and that remembers what it scored."""

    def __init__(self, choosing: PolicyChoice, worth: Callable[[Mask], float]) -> None:
        self.choosing, self.worth = choosing, worth
        self.scored: list[Mask] = []
        self.view = StageView(self.batches, self.scores, self.gain, self.refused, self.refused)

    def batches(self, stream: str) -> Iterable[Batch]:
        raise AssertionError(f"no batches of {stream} are needed")

    def refused(self) -> NoReturn:
        raise AssertionError("no cost is asked of the view")

    def scores(self, stream: str) -> Scores:
        assert stream == "holdout"
        mask = self.choosing.mask()
        assert mask is not None
        self.scored.append(mask)
        return {"near": {"iou": self.worth(mask)}}

    def gain(self, scores: Scores, reference: Scores) -> float:
        return scores["near"]["iou"] / reference["near"]["iou"] - 1.0


def nothing(mask: Mask) -> float:
    raise AssertionError("nothing is scored")


def chosen(choosing: PolicyChoice) -> Mask:
    mask = choosing.mask()
    assert mask is not None
    return mask


def test_the_best_of_the_likeliest_and_the_draws_is_kept() -> None:
    choosing = choice(candidates=8)
    look = Look(choosing, lambda mask: 1.0 + mask[0].sum())
    choosing.select(ODDS, look.view)
    assert (look.scored[0] == (ODDS >= 0)).all()
    assert 3 <= len(look.scored) <= 9
    assert len({mask.tobytes() for mask in look.scored}) == len(look.scored)
    best = max(mask[0].sum() for mask in look.scored)
    assert chosen(choosing)[0].sum() == best > (ODDS[0] >= 0).sum()
    assert torch.equal(choosing.chosen, torch.from_numpy(chosen(choosing)))


def test_a_score_that_is_no_number_is_worst() -> None:
    choosing = choice(candidates=8)
    look = Look(choosing, lambda mask: 1.0 if (mask == (ODDS >= 0)).all() else float("nan"))
    choosing.select(ODDS, look.view)
    assert (chosen(choosing) == (ODDS >= 0)).all()


def test_equal_scores_keep_the_likeliest() -> None:
    choosing = choice(candidates=8)
    choosing.select(ODDS, Look(choosing, lambda _: 1.0).view)
    assert (chosen(choosing) == (ODDS >= 0)).all()


def test_the_likeliest_needs_no_scores() -> None:
    for options in ({"choose": "argmax"}, {"candidates": 0}):
        choosing = choice(**options)
        choosing.select(ODDS, Look(choosing, nothing).view)
        assert (chosen(choosing) == (ODDS >= 0)).all()


def test_one_draw_by_the_seed_of_the_run() -> None:
    drawn = []
    for seed in (0, 0, 1, 2, 3):
        choosing = choice(seed, choose="sampled")
        choosing.select(ODDS, Look(choosing, nothing).view)
        drawn.append(chosen(choosing))
    assert (drawn[0] == drawn[1]).all()
    assert len({mask.tobytes() for mask in drawn}) >= 3


def test_candidates_are_brought_to_the_budget_before_they_are_scored() -> None:
    choosing, asked = choice(budget="0.5x"), goal("0.5x")
    choosing.plan(asked, np.zeros((2, 4)), None)
    assert choosing.mask() is None
    assert float(choosing.goal) == 5.0
    look = Look(choosing, lambda mask: 1.0 + mask[0].sum())
    choosing.select(ODDS, look.view)
    assert len(look.scored) > 1
    assert all(flat_cost(mask) == 5.0 for mask in look.scored)


def test_random_policies_follow_the_seed_and_keep_the_budget() -> None:
    masks = []
    for seed in (0, 0, 1, 2):
        choosing = choice(seed, policy="random", budget="0.6x")
        choosing.plan(goal("0.6x"), np.zeros((2, 4)), None)
        masks.append(chosen(choosing))
        assert flat_cost(masks[-1]) == 6.0
    assert (masks[0] == masks[1]).all()
    assert len({mask.tobytes() for mask in masks}) >= 2
    free = choice(3, policy="random")
    free.plan(goal(), np.zeros((2, 4)), None)
    assert 0 < chosen(free).sum() < 8


def test_the_last_plan_counts() -> None:
    choosing = choice(policy="random", budget="0.6x")
    for share in ("0.6x", "0.3x"):
        choosing.plan(goal(share), np.zeros((2, 4)), None)
    assert flat_cost(chosen(choosing)) == 3.0


def test_a_policy_that_came_with_weights_stays() -> None:
    first = choice(0, policy="random", budget="0.6x")
    first.plan(goal("0.6x"), np.zeros((2, 4)), None)
    loaded = choice(7, policy="random", budget="0.3x")
    loaded.load_state_dict(first.state_dict())
    loaded.plan(goal("0.3x"), np.zeros((2, 4)), None)
    assert (chosen(loaded) == chosen(first)).all()


def test_a_policy_of_another_run_is_kept_drawn_anew_or_made_likelier() -> None:
    taken = ODDS >= 0
    taken[0, 3] = True  # its run chose an unlikely block
    masks = {}
    for way in ("best", "argmax"):
        choosing = choice(policy="given", choose=way)
        choosing.decide(taken)
        choosing.plan(goal(), ODDS, None)
        masks[way] = chosen(choosing)
    assert (masks["best"] == taken).all()
    assert (masks["argmax"] == (ODDS >= 0)).all()
    drawn = set()
    for seed in range(6):
        choosing = choice(seed, policy="given", choose="sampled")
        choosing.decide(taken)
        choosing.plan(goal(), ODDS, None)
        drawn.add(chosen(choosing).tobytes())
    assert len(drawn) >= 4


def test_a_policy_that_is_yet_to_come_leaves_everything_running() -> None:
    waiting = choice(policy="given")
    waiting.plan(goal(), ODDS, None)
    assert waiting.mask() is None
