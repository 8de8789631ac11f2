"""AdaMTL's deployed form of tiny networks, with what it must give and cost at any decisions, by the formula."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.base import State
from frugalmtl.core.counting import MacCounter
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Decisions, Pyramid
from frugalmtl.encoders.adamtl.layout import GatedStage, gated_stages, token_decision, token_halves
from frugalmtl.encoders.adamtl.options import DecisionOptions, ExecutionOptions
from frugalmtl.encoders.adamtl.parts import Rule, RuntimeParts
from frugalmtl.encoders.adamtl.policy import Policies
from frugalmtl.encoders.adamtl.runtime import AdaMTLRuntime
from tests.support.backbones import tiny_backbone

TASKS = ("first", "second", "third")


@dataclass(frozen=True, eq=False)
class Pair:
    """A deployed form, and the network and policies that it was made of.

    Attributes:
        runtime: the deployed form.
        network: the dense network.
        policies: of the tasks.
        stages: gated blocks.
        execution: how they run.
    """

    runtime: AdaMTLRuntime
    network: Backbone
    policies: Policies
    stages: tuple[GatedStage, ...]
    execution: ExecutionOptions

    def double(self) -> Pair:
        """The same in float64."""
        for module in (self.runtime, self.network, self.policies):
            module.double()
        return self

    def draw(self, batch: int, size: tuple[int, int], seed: int) -> tuple[Tensor, Decisions]:
        """Images, and decisions of any density, all and none among them, that do not go by what the images show."""
        generator = torch.Generator().manual_seed(seed)
        image = torch.randn(batch, 3, *size, generator=generator)

        def mask(*shape: int) -> Tensor:
            share = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])[torch.randint(5, (batch,), generator=generator)]
            return torch.rand(shape, generator=generator) < share.view(-1, *(1,) * (len(shape) - 1))

        decisions = {}
        for stage in self.stages:
            decisions[stage.decision] = mask(batch, len(stage.blocks))
            for block in stage.blocks:
                tokens = mask(batch, size[0] // stage.stride, size[1] // stage.stride)
                tokens[:, : tokens.shape[1] // 2] &= torch.rand((), generator=generator) < 0.5  # windows without any
                decisions[token_decision(block)] = tokens
        return image, decisions


def pair_of(
    kind: str,
    *,
    rules: Mapping[str, Rule] | None = None,
    decision: Mapping[str, Any] | None = None,
    backbone: Mapping[str, Any] | None = None,
    **execution: Any,
) -> Pair:
    """The deployed form of a tiny network of a family."""
    seed_everything(0)
    network = tiny_backbone(kind, **(backbone or {})).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # norms and scales that are not 1, biases that are not 0
            parameter.add_(0.05 * torch.randn_like(parameter))
    how, stages = ExecutionOptions(**execution), gated_stages(network)
    policies = Policies(stages, TASKS, DecisionOptions(hidden=8, **(decision or {})), how, (0.9, 0.6))
    taken = RuntimeParts(deepcopy(network), stages, deepcopy(policies).of(TASKS), how, TASKS, rules or {})
    return Pair(AdaMTLRuntime(taken).eval(), network, policies.eval(), stages, how)


def masked(pair: Pair, image: Tensor, decisions: Decisions) -> Pyramid:
    """What the network gives when all is computed, and what is off is masked."""
    states: dict[int, State] = {}
    state: State = image
    for info in pair.network.blocks:
        state = states[info.stage] = masked_block(pair, info.name, state, decisions)
    return pair.network.pyramid(states)


def masked_block(pair: Pair, name: str, state: State, decisions: Decisions) -> State:
    """The state behind one block."""
    stage = next((stage for stage in pair.stages if name in stage.blocks), None)
    if stage is None:
        after: State = pair.network.get_submodule(name)(state)
        return after
    assert isinstance(state, Tensor)
    view = token_halves(pair.network, name)
    on = decisions[stage.decision][:, stage.blocks.index(name), None, None, None].to(state)
    tokens = decisions[token_decision(name)][..., None].to(state)
    attended = view.attention(state)
    if pair.execution.attention == "windows":
        attended = attended * _attending(pair, name, decisions[token_decision(name)])[..., None]
    between = state + attended
    dropped = view.normalised(between) if pair.execution.dropped == "norm" else torch.zeros_like(between)
    after = between + tokens * view.mlp(between) + (1 - tokens) * dropped
    return on * after + (1 - on) * state


def _attending(pair: Pair, name: str, tokens: Tensor) -> Tensor:
    """Tokens ``[B, h, w]`` in whose window any is on."""
    height, width = tokens.shape[1:]
    attending = torch.zeros_like(tokens).flatten(1)
    for window in token_halves(pair.network, name).places(height, width):
        inside = window[window < height * width]
        attending[:, inside] = tokens.flatten(1)[:, inside].any(1, keepdim=True)
    return attending.view(tokens.shape)


def macs_of(pair: Pair, image: Tensor, decisions: Decisions) -> int:
    """Multiply-adds that decisions come to: per window ``4 N C^2 + 2 N^2 C``, per token both layers of the MLP."""
    size = (image.shape[2], image.shape[3])
    with MacCounter(pair.network) as counter:
        pair.network(image[:1])
    total = len(image) * counter.macs()
    for stage in pair.stages:
        height, width = size[0] // stage.stride, size[1] // stage.stride
        for number, name in enumerate(stage.blocks):
            view = token_halves(pair.network, name)
            per_token = sum(layer.weight.numel() for layer in view.core.mlp.modules() if isinstance(layer, nn.Linear))
            places = view.places(height, width)
            count, area = places.shape
            per_window = 4 * area * stage.channels**2 + 2 * area**2 * stage.channels
            on = decisions[stage.decision][:, number]
            tokens = decisions[token_decision(name)] & on[:, None, None]
            windows = count * int(on.sum())
            if pair.execution.attention == "windows":
                padded = torch.nn.functional.pad(tokens.flatten(1), (0, 1))
                windows = int(padded[:, places].any(-1).sum())
            total += (windows - len(image) * count) * per_window
            total += (int(tokens.sum()) - len(image) * height * width) * per_token
    return total
