"""Choices of the deployed policies: those of the trained ones, computed for what they decide on alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.backbones.base import State
from frugalmtl.core.types import Decisions
from frugalmtl.encoders.adamtl.layout import token_decision, token_halves
from frugalmtl.encoders.adamtl.parts import Rule
from frugalmtl.encoders.adamtl.runtime.policies import DeployedPolicies
from tests.support.adamtl.runtime import Pair, masked_block, pair_of

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"decision": {"task_aware": False}, "mask_unit": "window"},
    {"decision": {"block_policy": "flatten", "image_size": (64, 96)}},
    {"decision": {"policy": "random"}},
    {"decision": {"policy": "random"}, "mask_unit": "window"},
    {"decision": {"policy": "static"}},
    {"skip": "tokens"},
    {"skip": "blocks"},
)


def images(batch: int = 4) -> Tensor:
    spread = torch.linspace(0.2, 3.0, batch).view(-1, 1, 1, 1)
    return torch.randn(batch, 3, 64, 96, generator=torch.Generator().manual_seed(4)).double() * spread


def expected(pair: Pair, image: Tensor, decisions: Decisions) -> dict[str, Tensor]:
    """Margins of the policies as they were trained, on the states that the decisions lead to."""
    margins: dict[str, Tensor] = {}
    keys, state = pair.policies.keys(image), image
    for info in pair.network.blocks:
        stage = next((stage for stage in pair.stages if info.name in stage.blocks), None)
        if stage is not None:
            number = stage.blocks.index(info.name)
            if number == 0:
                margins[stage.decision] = pair.policies.block_logits(stage, state, keys).amax(0)
            places = token_halves(pair.network, info.name).places(*state.shape[1:3])
            values = pair.policies.token_logits(info.name, state, keys, places).amax(0)
            off = -margins[stage.decision][:, number].abs()[:, None, None].expand(values.shape)
            on = decisions[stage.decision][:, number, None, None]
            margins[token_decision(info.name)] = torch.where(on, values, off)
        after: State = masked_block(pair, info.name, state, decisions)
        assert isinstance(after, Tensor)
        state = after
    return margins


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.no_grad()
def test_margins_are_those_of_the_trained_policies(options: dict[str, Any]) -> None:
    pair, image = pair_of("swin_transformer", **options).double(), images()
    _, decisions = pair.draw(len(image), (64, 96), 7)
    for chosen in (decisions, pair.runtime.decide(image)):
        margins, wanted = pair.runtime.margins(image, chosen), expected(pair, image, chosen)
        assert set(margins) == set(wanted) == set(chosen)
        for name, values in margins.items():
            torch.testing.assert_close(values, wanted[name], rtol=1e-9, atol=1e-9)
    decided = pair.runtime.decide(image)
    for left, right in zip(pair.runtime(image)["first"], pair.runtime(image, decided)["first"], strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)


@torch.no_grad()
def test_a_point_moves_its_threshold_alone() -> None:
    pair, image = pair_of("swin_transformer", rules={"0.4x": Rule(0.3), "0.9x": Rule(-0.3)}).double(), images()
    plain = pair.runtime.margins(image)
    assert pair.runtime.points == ("0.4x", "0.9x")
    settled = pair.runtime.at("0.4x")
    assert (settled.points, pair.runtime.points) == ((), ("0.4x", "0.9x"))
    assert next(settled.parameters()) is next(pair.runtime.parameters())
    torch.testing.assert_close(settled.margins(image)["blocks.0"], plain["blocks.0"] - 0.3)
    torch.testing.assert_close(pair.runtime.margins(image)["blocks.0"], plain["blocks.0"])


@torch.no_grad()
def test_what_is_certain_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, image = pair_of("swin_transformer", rules={"1.0x": Rule(-float("inf"))}).double(), images(2)
    everything = pair.runtime.everything(image)
    settled = pair.runtime.at("1.0x")

    def refuse(*_: object) -> Tensor:
        raise AssertionError("a policy is computed where all is on")

    monkeypatch.setattr(DeployedPolicies, "block_margins", refuse)
    monkeypatch.setattr(DeployedPolicies, "token_margins", refuse)
    for left, right in zip(settled(image)["first"], pair.runtime(image, everything)["first"], strict=True):
        torch.testing.assert_close(left, right)
    with pytest.raises(AssertionError, match="all is on"):
        pair.runtime(image)


@pytest.mark.parametrize("kind", ["swin_transformer", "vision_transformer"])
@pytest.mark.parametrize("token_net_per_block", [False, True])
@torch.no_grad()
def test_what_is_sure_is_on_and_its_networks_are_given_up(kind: str, token_net_per_block: bool) -> None:
    plain, decision = pair_of(kind), {"token_net_per_block": token_net_per_block}
    first = plain.stages[0]
    sure = {first.decision, *map(token_decision, first.blocks)}
    pair = pair_of(kind, decision=decision, rules={"0.4x": Rule(0.3, frozenset(sure)), "0.5x": Rule(0.3)}).double()
    image = images(3)
    settled, unsure = pair.runtime.at("0.4x"), pair.runtime.at("0.5x")
    decided = settled.decide(image)
    assert all(decided[name].all() for name in sure)
    assert not all(unsure.decide(image)[name].all() for name in sure)
    # The same as what is on being decided by hand, at the states that follow from it; all else is as the margins say.
    for left, right in zip(settled(image)["first"], unsure(image, decided)["first"], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)
    for name, margins in unsure.margins(image, decided).items():
        if name not in sure:
            torch.testing.assert_close(settled.margins(image)[name], margins, rtol=1e-9, atol=1e-9)
    kept = {name for name, _ in settled.policies.named_parameters()}
    lost = {name for name, _ in unsure.policies.named_parameters()} - kept
    per_block = len(first.blocks) if token_net_per_block else 1
    assert len(lost) == 4 * (1 + per_block)


@torch.no_grad()
def test_policies_see_only_images_whose_block_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, image = pair_of("swin_transformer").double(), images(4)
    decided = pair.runtime.decide(image)
    seen: dict[str, int] = {}
    plain = DeployedPolicies.token_margins

    def watched(policies: DeployedPolicies, block: str, state: Tensor, *rest: Any) -> Tensor:
        seen[block] = state.shape[0]
        return plain(policies, block, state, *rest)

    monkeypatch.setattr(DeployedPolicies, "token_margins", watched)
    pair.runtime(image)
    for stage in pair.stages:
        for number, block in enumerate(stage.blocks):
            assert seen.get(block, 0) == int(decided[stage.decision][:, number].sum())
    assert 0 < sum(seen.values()) < 4 * sum(len(stage.blocks) for stage in pair.stages)
