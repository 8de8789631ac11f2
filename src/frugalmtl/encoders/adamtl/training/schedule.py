"""Schedule of AdaMTL: stages and turns as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, TRAIN, ParameterGroup, Share, Stage, Turn
from frugalmtl.encoders.adamtl.options import LossOptions, ScheduleOptions, Skip, Source
from frugalmtl.encoders.adamtl.policy import COMMON

STATIC, POLICY_INIT, ADAPTIVE, JOINT = "static", "policy_init", "adaptive", "joint"
"""Names of the stages."""

FITTING = "fitting"
"""Stream of the samples that are not held out for thresholds."""

INITIAL = "policies_on"
"""Name of the penalty of equation 2; those of equations 4 and 5 are ``blocks`` and ``tokens``."""

_POLICIES = "encoder.policies.*"


def recipe(
    schedule: ScheduleOptions,
    loss: LossOptions,
    tasks: Sequence[str],
    *,
    source: Source,
    skip: Skip,
    task_aware: bool,
    held_out: bool,
) -> tuple[Stage, ...]:
    """All on; policies that learn to be on; one task after the other; all tasks.

    Args:
        schedule: shares of the epochs, turns, rates.
        loss: weight of the efficiency losses.
        tasks: their names, in the order of the turns.
        source: what decides. Without networks there is nothing to initialise and no turns; without choices the whole
            training is one stage.
        skip: what may be skipped.
        task_aware: whether a task has policies of its own.
        held_out: whether samples are held out for thresholds.
    """
    stream = FITTING if held_out else TRAIN
    if source in ("always_on", "static"):
        return (Stage(STATIC, stream=stream),)
    shares = schedule.static_share, schedule.policy_init_share, schedule.adaptive_share, schedule.joint_share
    if source == "random":
        shares = shares[0] + shares[1], 0.0, 0.0, shares[2] + shares[3]
    total = sum(shares)
    static, policy_init, adaptive, joint = (share / total for share in shares)
    kinds = ("blocks", "tokens") if skip == "both" else (skip,)
    pull = dict.fromkeys(kinds, loss.alpha) if source == "learned" else {}
    # Policies learn to the end. Thresholds are calibrated on the weights that are kept; without them nothing holds the
    # cost, and the epoch that runs most would be chosen.
    settled = 1.0 if source != "learned" or held_out else 0.0
    groups = _groups(schedule)
    stages = (
        Stage(STATIC, static, frozen=(_POLICIES,), stream=stream),
        Stage(
            POLICY_INIT,
            policy_init,
            frozen=("encoder.network.*", "decoder.*"),
            groups=_group(_POLICIES, schedule.policy_lr_factor),
            penalties={INITIAL: 1.0},
            stream=stream,
            settings={"warmup_steps": 0},
            settled=settled,
        ),
        Stage(
            ADAPTIVE,
            adaptive,
            groups=groups,
            turns=_turns(schedule, tasks, stream, pull, task_aware=task_aware),
            settled=settled,
        ),
        Stage(JOINT, joint, groups=groups, penalties=pull, stream=stream, settled=settled),
    )
    return tuple(stage for stage in stages if stage.share > 0)


def _turns(
    schedule: ScheduleOptions, tasks: Sequence[str], stream: str, pull: Mapping[str, float], *, task_aware: bool
) -> tuple[Turn, ...]:
    """Alternating Task Training (Algorithm 1): one turn per task."""
    return tuple(
        Turn(
            task,
            schedule.turns.turn_epochs,
            trains=("encoder.network.*", "decoder.*", f"encoder.policies.nets.{task if task_aware else COMMON}.*"),
            tasks=(task,) if schedule.turns.turn_losses == "focus" else None,
            stream=stream,
            penalties=pull,
        )
        for task in tasks
    )


def _groups(schedule: ScheduleOptions) -> tuple[ParameterGroup, ...]:
    """Rates of the adaptive stages: policies, and all else."""
    return _group(_POLICIES, schedule.policy_lr_factor) + _group("*", schedule.adaptive_lr_factor)


def _group(pattern: str, factor: float) -> tuple[ParameterGroup, ...]:
    return () if factor == 1.0 else (ParameterGroup(pattern, lr_factor=factor),)


def streams(schedule: ScheduleOptions, *, held_out: bool) -> Mapping[str, Share]:
    """Disjoint parts of the training split: to train on, and to calibrate thresholds on."""
    if not held_out:
        return {}
    fitting, holdout = schedule.parts()
    return {FITTING: fitting, HOLDOUT: holdout}


def check_turns(epochs: int, tasks: int, schedule: ScheduleOptions) -> None:
    """Check that every task gets a turn in the adaptive stage.

    Raises:
        UserError: the stage is too short for that.
    """
    if epochs < tasks * schedule.turns.turn_epochs - 1e-9:
        raise UserError(
            f"the stage {ADAPTIVE!r} has {epochs} epochs, but each of {tasks} tasks has a turn of "
            f"{schedule.turns.turn_epochs:g}: train longer, raise adaptive_share, or lower turn_epochs to "
            f"{epochs / tasks:.3g} or less"
        )
