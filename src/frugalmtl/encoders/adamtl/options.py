"""Options of AdaMTL: its policies, how blocks run, the efficiency loss, and the stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from frugalmtl.core.budget import Budget
from frugalmtl.core.checks import UserError, fraction, not_negative, positive
from frugalmtl.core.recipe import Share

Source = Literal["learned", "random", "always_on", "static"]
"""Names of what decides on blocks and tokens."""

Skip = Literal["both", "blocks", "tokens"]
"""Names of what may be skipped."""

Union = Literal["probability", "clamp", "max"]
"""Names of the gradients of a union of tasks."""

Weighting = Literal["macs", "width", "none"]
"""Names of the weights of blocks in the share of tokens."""

TARGETS = {"H": (0.9, 0.6), "L": (0.5, 0.5)}
"""Published targets: share of the blocks, share of the tokens."""


@dataclass(frozen=True)
class ExecutionOptions:
    """How gated blocks run; the attributes are those of :func:`~frugalmtl.encoders.adamtl.adamtl`."""

    skip: Skip = "both"
    attention: Literal["windows", "dense"] = "windows"
    dropped: Literal["identity", "norm"] = "identity"
    mask_unit: Literal["token", "window"] = "token"


@dataclass(frozen=True)
class DecisionOptions:
    """What decides; the attributes are those of :func:`~frugalmtl.encoders.adamtl.adamtl`.

    Raises:
        UserError: a value out of its range, or values that do not go together.
    """

    policy: Source = "learned"
    task_aware: bool = True
    block_policy: Literal["pooled", "flatten"] = "pooled"
    token_net_per_block: bool = False
    hidden: int = 64
    image_size: tuple[int, int] | None = None
    union: Union = "probability"

    def __post_init__(self) -> None:
        """Check the values."""
        positive("hidden", self.hidden)
        if self.block_policy == "flatten" and self.policy == "learned" and self.image_size is None:
            raise UserError(
                "block_policy: flatten reads all tokens side by side and is built for one image size: give "
                "image_size: [height, width] as in data, or choose block_policy: pooled"
            )
        if self.image_size is not None and min(self.image_size) < 1:
            raise UserError(f"image_size must be positive, but got {list(self.image_size)}")


@dataclass(frozen=True)
class LossOptions:
    """Targets and weight of the efficiency loss; the attributes are those of
    :func:`~frugalmtl.encoders.adamtl.adamtl`.

    Raises:
        UserError: a value out of its range.
    """

    target: Literal["H", "L"] = "H"
    target_blocks: float | None = None
    target_tokens: float | None = None
    weighting: Weighting = "macs"
    alpha: float = 1.0
    steered: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        not_negative("alpha", self.alpha)
        for name in ("target_blocks", "target_tokens"):
            if getattr(self, name) is not None and fraction(name, getattr(self, name)) == 0.0:
                raise UserError(f"{name} must be above 0: a share of what is computed")
        if self.steered and self.alpha == 0:
            raise UserError("a steered alpha begins at alpha, which must be above 0 then")

    def targets(self) -> tuple[float, float]:
        """Share of the blocks and share of the tokens that are to be computed."""
        blocks, tokens = TARGETS[self.target]
        return (
            blocks if self.target_blocks is None else self.target_blocks,
            tokens if self.target_tokens is None else self.target_tokens,
        )


@dataclass(frozen=True)
class FocusOptions:
    """Turns of single tasks; the attributes are those of :func:`~frugalmtl.encoders.adamtl.adamtl`.

    Raises:
        UserError: a length that is not positive.
    """

    turn_epochs: float = 1.0
    turn_losses: Literal["focus", "all"] = "focus"

    def __post_init__(self) -> None:
        """Check the values."""
        positive("turn_epochs", self.turn_epochs)


@dataclass(frozen=True)
class ScheduleOptions:
    """Stages, turns and held-out samples; the attributes are those of :func:`~frugalmtl.encoders.adamtl.adamtl`.

    Raises:
        UserError: a value out of its range, or no share above 0.
    """

    static_share: float = 1000 / 1380
    policy_init_share: float = 80 / 1380
    adaptive_share: float = 150 / 1380
    joint_share: float = 150 / 1380
    policy_lr_factor: float = 1.0
    adaptive_lr_factor: float = 1.0
    holdout_data: float = 0.1
    turns: FocusOptions = field(default_factory=FocusOptions)

    def __post_init__(self) -> None:
        """Check the values."""
        shares = ("static_share", "policy_init_share", "adaptive_share", "joint_share")
        for name in shares:
            not_negative(name, getattr(self, name))
        if not sum(getattr(self, name) for name in shares) > 0:
            raise UserError(f"one of {', '.join(shares)} must be above 0: nothing would be trained")
        for name in ("policy_lr_factor", "adaptive_lr_factor"):
            positive(name, getattr(self, name))
        if not 0 < self.holdout_data < 1:
            raise UserError(
                f"holdout_data is the share of the training split that thresholds are calibrated on, above 0 and below "
                f"1, but got {self.holdout_data}"
            )

    def parts(self) -> tuple[Share, Share]:
        """Parts of the training split: that which is trained on, and that which is held out."""
        return (0.0, 1.0 - self.holdout_data), (1.0 - self.holdout_data, 1.0)


def read_points(points: tuple[str, ...], policy: Source) -> dict[str, Budget]:
    """Operating points by name.

    Args:
        points: budgets as text.
        policy: what decides.

    Raises:
        UserError: no budget, one in milliseconds, one that is named twice, or points that the policy cannot have.
    """
    budgets = {}
    for point in points:
        if point in budgets:
            raise UserError(f"the operating point {point!r} is named twice: leave one out")
        budgets[point] = Budget.parse(point)
        if budgets[point].kind == "ms":
            raise UserError(
                f"an operating point is a mean number of multiply-adds such as '0.3x' or '1.2G', but got {point!r}: "
                "time is measured, see the report's latency"
            )
    if policy == "always_on" and points:
        raise UserError(
            f"policy: always_on runs all of every image and has one cost, but got the points {', '.join(points)}: "
            "leave points out, or choose another policy"
        )
    if policy == "static" and len(points) != 1:
        raise UserError(
            f"policy: static leaves out the same blocks for all images until a budget is met: give one of points, e.g. "
            f"points: [0.3x], but got {len(points)}"
        )
    return budgets
