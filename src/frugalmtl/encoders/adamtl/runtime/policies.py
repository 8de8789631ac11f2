"""Deployed policies of AdaMTL: margins of blocks and tokens, those of all tasks by one matrix product a layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.encoders.adamtl.layout import GatedStage
from frugalmtl.encoders.adamtl.parts import Rule
from frugalmtl.encoders.adamtl.policy import BlockPolicy, GroupPolicies, Policies, TokenPolicy, check_grid
from frugalmtl.encoders.adamtl.runtime.windows import WindowTable
from frugalmtl.encoders.adamtl.windows import window_mean


class StackedPolicy(nn.Module):
    """Both layers of the policies of G groups, ``Linear_g(ReLU(Linear_g(x)))``; the first ones as one layer.

    Args:
        hidden: first layers of the groups, ``Linear(C, H)`` each.
        output: second layers, ``Linear(H', n)`` each.
    """

    def __init__(self, hidden: Sequence[nn.Linear], output: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.groups = len(hidden)
        self.hidden = nn.Linear(hidden[0].in_features, self.groups * hidden[0].out_features)
        self.hidden.weight.data = torch.cat([layer.weight.detach() for layer in hidden])
        self.hidden.bias.data = torch.cat([layer.bias.detach() for layer in hidden])
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().t() for layer in output]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in output])[:, None])

    def features(self, tokens: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> hidden features ``[B * h * w, G * H]``."""
        hidden = self.hidden(tokens.flatten(0, 2))
        return hidden.relu() if hidden.requires_grad else F.relu_(hidden)

    def logits(self, features: Tensor) -> Tensor:
        """Hidden features ``[k, G, H']`` -> ``[G, k, n]``."""
        return torch.baddbmm(self.bias, features.transpose(0, 1), self.weight)


class StackedTokenPolicy(StackedPolicy):
    """Token policies of several groups."""

    def forward(self, tokens: Tensor) -> Tensor:
        """``[k, h, w, C]`` -> ``[G, k, h, w]``."""
        features = self.features(tokens)
        logits = self.logits(features.view(features.shape[0], self.groups, -1))
        return logits.view(self.groups, *tokens.shape[:3])


class StackedBlockPolicy(StackedPolicy):
    """Block policies of several groups.

    Args:
        hidden: see :class:`StackedPolicy`.
        output: see :class:`StackedPolicy`.
        grid: height and width of the grid whose tokens are read side by side; None reads their mean.
    """

    def __init__(
        self, hidden: Sequence[nn.Linear], output: Sequence[nn.Linear], *, grid: tuple[int, int] | None
    ) -> None:
        super().__init__(hidden, output)
        self.grid = grid

    def forward(self, tokens: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> ``[G, B, n]``.

        Raises:
            UserError: a grid of another size than it was built for.
        """
        check_grid(self.grid, tokens)
        features = self.features(tokens).view(tokens.shape[0], tokens.shape[1] * tokens.shape[2], self.groups, -1)
        return self.logits(features.mean(1) if self.grid is None else features.transpose(1, 2).flatten(2))


class DeployedPolicies(nn.Module):
    """Margins of blocks and tokens: the largest logit of all groups, less the threshold.

    Args:
        policies: of the tasks that are read; their networks are stacked, all else is taken over.
        stages: gated blocks.

    Attributes:
        threshold: what a logit must be above; minus infinity lets everything run.
    """

    def __init__(self, policies: Policies, stages: Sequence[GatedStage]) -> None:
        super().__init__()
        self.threshold = 0.0
        groups = [net for net in policies.nets.values() if isinstance(net, GroupPolicies)]
        self.blocks, self.tokens = nn.ModuleDict(), nn.ModuleDict()
        self.token_keys: dict[str, str] = {}
        for stage in stages if groups else ():
            key = str(stage.number)
            if key in groups[0].blocks:
                self.blocks[key] = _stacked_blocks([group.blocks[key] for group in groups])
            for block in stage.blocks:
                key = groups[0].token_key(stage, block)
                if key in groups[0].tokens:
                    self.token_keys[block] = key
                    if key not in self.tokens:
                        self.tokens[key] = _stacked_tokens([group.tokens[key] for group in groups])
        policies.nets = nn.ModuleDict()
        self.rest = policies

    def keys(self, image: Tensor) -> Tensor | None:
        """See :meth:`~frugalmtl.encoders.adamtl.policy.Policies.keys`."""
        return self.rest.keys(image)

    def certain_blocks(self, stage: GatedStage) -> bool:
        """Whether all gated blocks of a stage run, whatever the image."""
        return self._open or self.rest.certain_blocks(stage)

    def certain_tokens(self, block: str) -> bool:
        """Whether all tokens of a block run where the block does, whatever the image."""
        return self._open or self.rest.certain_tokens(block)

    def settle(self, rule: Rule) -> None:
        """Choose by the rule of an operating point; networks of what is sure are given up."""
        self.threshold, self.rest.sure = rule.threshold, rule.sure
        unsure = {str(stage.number) for stage in self.rest.stages if not self.rest.certain_blocks(stage)}
        self.blocks = nn.ModuleDict({key: net for key, net in self.blocks.items() if key in unsure})
        self.token_keys = {name: key for name, key in self.token_keys.items() if not self.rest.certain_tokens(name)}
        needed = set(self.token_keys.values())
        self.tokens = nn.ModuleDict({key: net for key, net in self.tokens.items() if key in needed})

    @property
    def _open(self) -> bool:
        return self.threshold == -float("inf")

    def block_margins(self, stage: GatedStage, state: Tensor, keys: Tensor | None) -> Tensor:
        """State in front of a stage's first gated block ``[B, h, w, C]`` -> margins of its blocks, ``[B, n]``."""
        key = str(stage.number)
        stacked = self.blocks[key](state) if key in self.blocks else self.rest.block_logits(stage, state, keys)
        margins: Tensor = stacked.amax(0) - self.threshold
        return margins

    def token_margins(self, block: str, state: Tensor, keys: Tensor | None, table: WindowTable) -> Tensor:
        """State in front of a block ``[k, h, w, C]`` -> margins of its tokens, ``[k, h, w]``.

        Args:
            block: its name.
            state: of some images.
            keys: of the same images.
            table: windows of the block.
        """
        key = self.token_keys.get(block)
        if key is None:
            logits = self.rest.token_logits(block, state, keys, table.places)
        else:
            logits = self.tokens[key](state)
            if self.rest.execution.mask_unit == "window":
                by_window = window_mean(logits, table.places)
                logits = by_window.index_select(-1, table.owners).view(logits.shape)
        margins: Tensor = logits.amax(0) - self.threshold
        return margins


def _stacked_blocks(nets: Sequence[nn.Module]) -> StackedBlockPolicy:
    policies = [net for net in nets if isinstance(net, BlockPolicy)]
    return StackedBlockPolicy([net.hidden for net in policies], [net.logits for net in policies], grid=policies[0].grid)


def _stacked_tokens(nets: Sequence[nn.Module]) -> StackedTokenPolicy:
    policies = [net for net in nets if isinstance(net, TokenPolicy)]
    return StackedTokenPolicy([net.hidden for net in policies], [net.logit for net in policies])
