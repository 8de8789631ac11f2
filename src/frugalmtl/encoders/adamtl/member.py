"""Config section of AdaMTL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from frugalmtl.backbones import Backbone
from frugalmtl.encoders.adamtl.encoder import AdaMTLEncoder
from frugalmtl.encoders.adamtl.options import (
    DecisionOptions,
    ExecutionOptions,
    FocusOptions,
    LossOptions,
    ScheduleOptions,
    read_points,
)


def adamtl(
    backbone: Backbone,
    tasks: Sequence[str],
    *,
    points: tuple[str, ...] = (),
    policy: Literal["learned", "random", "always_on", "static"] = DecisionOptions.policy,
    skip: Literal["both", "blocks", "tokens"] = ExecutionOptions.skip,
    attention: Literal["windows", "dense"] = ExecutionOptions.attention,
    mask_unit: Literal["token", "window"] = ExecutionOptions.mask_unit,
    dropped: Literal["identity", "norm"] = ExecutionOptions.dropped,
    task_aware: bool = DecisionOptions.task_aware,
    union: Literal["probability", "clamp", "max"] = DecisionOptions.union,
    block_policy: Literal["pooled", "flatten"] = DecisionOptions.block_policy,
    image_size: tuple[int, int] | None = DecisionOptions.image_size,
    token_net_per_block: bool = DecisionOptions.token_net_per_block,
    hidden: int = DecisionOptions.hidden,
    target: Literal["H", "L"] = LossOptions.target,
    target_blocks: float | None = LossOptions.target_blocks,
    target_tokens: float | None = LossOptions.target_tokens,
    weighting: Literal["macs", "width", "none"] = LossOptions.weighting,
    alpha: float = LossOptions.alpha,
    steered: bool = LossOptions.steered,
    static_share: float = ScheduleOptions.static_share,
    policy_init_share: float = ScheduleOptions.policy_init_share,
    adaptive_share: float = ScheduleOptions.adaptive_share,
    joint_share: float = ScheduleOptions.joint_share,
    turn_epochs: float = FocusOptions.turn_epochs,
    turn_losses: Literal["focus", "all"] = FocusOptions.turn_losses,
    policy_lr_factor: float = ScheduleOptions.policy_lr_factor,
    adaptive_lr_factor: float = ScheduleOptions.adaptive_lr_factor,
    holdout_data: float = ScheduleOptions.holdout_data,
) -> AdaMTLEncoder:
    r"""AdaMTL: one transformer for all tasks, whose blocks and tokens run or not, image by image.

    Small networks, a set per task, read the features and give a *logit* to each block and each token. What has a logit
    above a threshold runs; for several tasks, what runs for any. With b the mask of a block and m that of its tokens,

        u = x + g attention(x),   y = u + m mlp(u),   x <- b y + (1 - b) x

    where g is 0 for windows whose tokens are all off. In training masks are hard draws with logistic (Gumbel) noise and
    the gradient of ``sigmoid((logit + noise) / 5)``; deployed nothing is drawn, and what is off is not computed, at any
    batch size.

    The training has four stages. *static*: all runs. *policy_init*: the policies alone learn to be on, by
    ``sum_blocks (1 - b) + (1 - mean m)`` on soft masks. *adaptive*: turns of one task each, with its masks alone.
    *joint*: the union of all. To the tasks' losses the last two add

        alpha (mean_images (B / B_all - target_b)^2 + mean_images (sum_b w_b T_b / sum_b w_b T_all - target_t)^2)

    with B the blocks and T_b the tokens of block b that run. At the end each of the ``points`` gets its threshold: the
    mean multiply-adds of held-out images of the training split meet it. The same weights serve all points.

    Published settings: Swin-T and Swin-S at 224 and Swin-B at 384 pixels (``pyramid: merged``); targets H (90 % of the
    blocks, 60 % of the tokens) and L (50 %, 50 %); alpha 1; hidden width 64; 1000, 80, 150 and 150 epochs; AdamW at
    5e-4 x batch / 512 with weight decay 0.05, cosine schedule, 20 epochs of warm-up, gradients clipped to norm 5.

    Source: Neseem, Agiza, Reda, "AdaMTL: Adaptive Input-dependent Inference for Efficient Multi-Task Learning" (CVPR
    Workshops 2023), and the code of its authors. Choices of ours, with the published form as an option where there is
    one:

    - Nothing is drawn in eval mode; the code draws there too.
    - A token that is off stays as it is (``dropped: identity``); the code adds its normalisation (``norm``).
    - Windows without a token that is on do not attend (``attention: windows``); in the code all do (``dense``).
    - The block policy pools (``block_policy: pooled``), so that any image size does; the code flattens (``flatten``).
    - The union's gradient is that of its probability (``union: probability``): under the clamp of the code (``clamp``)
      what two tasks select has no gradient, so that the efficiency loss cannot switch it off; the largest mask
      (``max``) lets one task learn at a time.
    - Tokens weigh as their MLPs cost (``weighting: macs``); the code has the embedding width (``width``), which halves
      a stage's weight against the one before although their MLPs cost the same; Fig. 5 a has ``none``.
    - Tokens of a block that is off do not count as running, in training as in evaluation.
    - ``turn_losses: focus`` is Algorithm 1; the code takes the losses of all tasks in every turn (``all``).
    - Each stage begins the run's schedule anew, ``policy_init`` without warm-up.
    - ``points``, ``steered``, ``mask_unit``, ``token_net_per_block`` (the paper; the code shares a network per stage),
      and the policies ``static`` and ``always_on``.

    The cut holds the levels of the one pyramid, which tasks share, and the shares of blocks and tokens.

    Args:
        backbone: copied once; its blocks must have a token view (:func:`~frugalmtl.backbones.views.tokens_of`).
        tasks: names of the tasks.
        points: mean cost per image of the whole deployed model that thresholds are calibrated for: ``"0.2x"`` the
            multiply-adds of the single-task networks, or multiply-adds (``"1.2G"``).
        policy: what decides: ``"learned"`` networks; or, as baselines, ``"random"`` (noise that follows from the
            pixels, on as often as the targets say; it has the stages ``static`` and ``joint``, and with ``joint_share``
            and ``adaptive_share`` 0 it runs a network that has never seen a mask), ``"static"`` (the dearest blocks are
            left out of every image until the one point is met) or ``"always_on"``.
        skip: what may be skipped.
        attention: where attention runs in a block that is on: in ``"windows"`` of which a token is on, or ``"dense"``.
        mask_unit: whether tokens are decided on one by one or by the ``"window"`` of their block (mean logit).
        dropped: what a token that is off adds: nothing (``"identity"``), or its normalisation (``"norm"``).
        task_aware: a set of policies per task; else one for all.
        union: gradient of the union of tasks in training, see
            :func:`~frugalmtl.encoders.adamtl.training.masks.union_mask`.
        block_policy: ``"pooled"`` or ``"flatten"``, see :class:`~frugalmtl.encoders.adamtl.policy.BlockPolicy`.
        image_size: height and width of the images, for ``block_policy: flatten``.
        token_net_per_block: a token policy for every block; else the blocks of a stage share one.
        hidden: width of the policies' hidden layer.
        target: shares that are to run: ``"H"`` (blocks 0.9, tokens 0.6) or ``"L"`` (0.5, 0.5).
        target_blocks: share of the blocks instead.
        target_tokens: share of the tokens instead.
        weighting: weight w of the tokens of a block in the share of tokens.
        alpha: weight of the efficiency losses.
        steered: let a factor on alpha grow until the shares meet their targets, see
            :class:`~frugalmtl.encoders.adamtl.efficiency.steering.Steering`.
        static_share: share of the epochs, in relation to the three others.
        policy_init_share: see ``static_share``.
        adaptive_share: see ``static_share``.
        joint_share: see ``static_share``.
        turn_epochs: length of a turn, in passes over the samples.
        turn_losses: whose losses count in a turn.
        policy_lr_factor: multiplies the learning rate of the policies.
        adaptive_lr_factor: multiplies the learning rate of all else in the stages adaptive and joint.
        holdout_data: share of the training split that no stage trains on, to calibrate points; nothing without points.

    Raises:
        UserError: a value out of its range, values that do not go together, or a backbone without token views.
    """
    return AdaMTLEncoder(
        backbone,
        tasks,
        decision=DecisionOptions(policy, task_aware, block_policy, token_net_per_block, hidden, image_size, union),
        execution=ExecutionOptions(skip, attention, dropped, mask_unit),
        loss=LossOptions(target, target_blocks, target_tokens, weighting, alpha, steered),
        training=ScheduleOptions(
            static_share,
            policy_init_share,
            adaptive_share,
            joint_share,
            policy_lr_factor,
            adaptive_lr_factor,
            holdout_data,
            FocusOptions(turn_epochs, turn_losses),
        ),
        points=read_points(points, policy),
    )
