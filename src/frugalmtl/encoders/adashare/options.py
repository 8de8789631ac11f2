"""Options of AdaShare: the search, its penalties, and the policy that is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from frugalmtl.core.budget import Budget
from frugalmtl.core.checks import UserError, fraction, not_negative, positive
from frugalmtl.core.recipe import Share
from frugalmtl.encoders.adashare.penalties import Sharing, Sparsity

Source = Literal["learned", "random", "cost_order", "given"]
"""Names of what a policy comes from."""

Choose = Literal["best", "argmax", "sampled"]
"""Names of how a policy is chosen among those that run probabilities stand for."""

WEIGHTS, POLICY = "weights", "policy"
"""Names of the two turns of a search, and of the streams that they read."""


@dataclass(frozen=True)
class PolicyOptions:
    """Where the policy comes from; the attributes are those of :func:`~frugalmtl.encoders.adashare.adashare`.

    Raises:
        UserError: a value out of its range, or ``cost_order`` without a budget.
    """

    policy: Source = "learned"
    choose: Choose = "best"
    candidates: int = 8
    budget: str | float | None = None
    initial: Literal["equal", "random", "all_run"] = "equal"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.candidates < 0:
            raise UserError(f"candidates must be 0 or more, but got {self.candidates}")
        if self.policy == "cost_order" and self.budget is None:
            raise UserError(
                "policy: cost_order skips the most expensive blocks until a budget is met: give budget, e.g. '0.4x'"
            )
        self.target()

    @property
    def scores(self) -> bool:
        """Whether a policy is chosen by its scores."""
        return self.choose == "best" and self.candidates > 0

    def budget_text(self) -> str | None:
        """The budget as text; a bare number is a share."""
        return f"{self.budget:g}x" if isinstance(self.budget, int | float) else self.budget

    def target(self) -> Budget | None:
        """The budget, read."""
        text = self.budget_text()
        return None if text is None else Budget.parse(text)


@dataclass(frozen=True)
class PenaltyOptions:
    """Weights and forms of the penalties; the attributes are those of :func:`~frugalmtl.encoders.adashare.adashare`.

    Raises:
        UserError: a weight below 0.
    """

    sparsity_weight: float = 0.05
    sharing_weight: float = 0.05
    sparsity: Sparsity = "code"
    sharing: Sharing = "code"

    def __post_init__(self) -> None:
        """Check the values."""
        not_negative("sparsity_weight", self.sparsity_weight)
        not_negative("sharing_weight", self.sharing_weight)

    def weights(self) -> dict[str, float]:
        """The penalties of a policy turn, without those of weight 0."""
        weights = {"sparsity": self.sparsity_weight, "sharing": self.sharing_weight}
        return {name: weight for name, weight in weights.items() if weight > 0}


@dataclass(frozen=True)
class TurnOptions:
    """Lengths of the turns of a search, and the shares of the training split that they read.

    The attributes are those of :func:`~frugalmtl.encoders.adashare.adashare`.

    Raises:
        UserError: a length or a share that is not positive, or shares that add up to more than 1.
    """

    weights_epochs: float = 1.0
    policy_epochs: float = 1.0
    weights_steps: int | None = None
    policy_steps: int | None = None
    weights_data: float = 0.7
    policy_data: float = 0.2
    holdout_data: float = 0.1

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("weights_epochs", "policy_epochs", "weights_data", "policy_data", "holdout_data"):
            positive(name, getattr(self, name))
        for name in ("weights_steps", "policy_steps"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        if (total := self.weights_data + self.policy_data + self.holdout_data) > 1.0 + 1e-9:
            raise UserError(
                f"weights_data, policy_data and holdout_data are disjoint shares of the training split, "
                f"but {self.weights_data} + {self.policy_data} + {self.holdout_data} is {total:g}, more than 1"
            )

    def shares(self) -> tuple[Share, Share, Share]:
        """The parts of the training split that train weights and policy, and that which is held out."""
        first, second = self.weights_data, self.weights_data + self.policy_data
        return (0.0, first), (first, second), (second, min(1.0, second + self.holdout_data))


@dataclass(frozen=True)
class SearchOptions:
    """How policies are searched; the attributes are those of :func:`~frugalmtl.encoders.adashare.adashare`.

    Raises:
        UserError: a value out of its range; shares of the epochs that add up to more than 1.
    """

    warmup_share: float = 0.1
    search_share: float = 0.4
    curriculum_speed: float = 1.0
    hard: bool = False
    policy_lr: float = 0.01
    turns: TurnOptions = field(default_factory=TurnOptions)
    optimizer: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        not_negative("curriculum_speed", self.curriculum_speed)
        positive("policy_lr", self.policy_lr)
        fraction("warmup_share", self.warmup_share)
        if fraction("search_share", self.search_share) == 0.0:
            raise UserError("search_share must be above 0: a policy is learned in the search; or choose policy: random")
        if self.warmup_share + self.search_share > 1.0 + 1e-9:
            raise UserError(
                f"warmup_share {self.warmup_share} and search_share {self.search_share} add up to more than 1: "
                "what is left is for training the chosen policy"
            )

    def retrain_share(self) -> float:
        """Share of the epochs in which the chosen policy is trained anew; 0 for a search alone."""
        left = 1.0 - self.warmup_share - self.search_share
        return left if left > 1e-9 else 0.0
