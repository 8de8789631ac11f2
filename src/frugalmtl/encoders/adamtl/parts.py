"""Parts of AdaMTL's deployed form, and the rules that both forms follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from frugalmtl.backbones import Backbone
from frugalmtl.encoders.adamtl.layout import GatedStage
from frugalmtl.encoders.adamtl.options import ExecutionOptions
from frugalmtl.encoders.adamtl.policy import Policies


@dataclass(frozen=True)
class Rule:
    """What decides at an operating point.

    Attributes:
        threshold: what a logit must be above.
        sure: names of decisions that are on for every image, so that their policies are not computed.
    """

    threshold: float = 0.0
    sure: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class RuntimeParts:
    r"""What the deployed form is made of, and what it computes.

    Both forms of AdaMTL follow these rules, image by image; ``x`` is the state ``[B, h, w, C]`` in front of a gated
    block, and blocks without a token view always run.

    1. *Blocks.* In front of the first gated block of a stage, ``policies.block_logits(stage, x, keys)`` ``[G, B, n]``
       decides on all n of them. ``margins["blocks.{s}"] = logits.amax(0) - threshold``, ``[B, n]``: a block runs if it
       runs for any task. ``keys`` is ``policies.keys(image)``, None for policies that do not read them. What a
       :class:`Rule` holds for sure has a logit above every threshold, and no network is asked.
    2. *Tokens.* In front of a block that is on, ``policies.token_logits(block, x, keys, view.places(h, w))``
       ``[G, B, h, w]`` decides on its tokens: ``margins["tokens.{block}"] = logits.amax(0) - threshold``. Where the
       block is off no token is, and the margin is ``-|margin of the block|``.
    3. *Decisions* that are handed over replace the signs of the margins; a token then runs if it and its block are on.
       The margins are still those that the states call for.
    4. *A block that is on*, with m the 0/1 mask of its tokens:
       ``u = x + attention(x)``; ``y = u + mlp(u)`` where m is 1. Where m is 0, ``y = u``
       (``execution.dropped: identity``) or ``y = u + normalised(u)`` (``norm``). With ``execution.attention: windows``
       a window (``view.places``; padding never counts) whose tokens are all off does not attend: its tokens have
       ``u = x``. With ``dense`` every window of the block attends.
    5. *A block that is off* leaves ``x``.

    Its multiply-adds are those of :class:`~frugalmtl.encoders.adamtl.efficiency.cost.ImageCost`: the block policies run
    on all images, the token policies on the images whose block is on.

    Attributes:
        network: the backbone.
        stages: its gated blocks.
        policies: of the tasks that are read; gives logits.
        execution: how blocks run.
        rules: by operating point; without a point the threshold is 0, and nothing is sure.
        tasks: names of the tasks that are read.
        read_levels: levels of the pyramid that they read; None for all.
    """

    network: Backbone
    stages: tuple[GatedStage, ...]
    policies: Policies
    execution: ExecutionOptions
    tasks: tuple[str, ...]
    rules: Mapping[str, Rule] = field(default_factory=dict)
    read_levels: Mapping[str, Sequence[int]] | None = None
