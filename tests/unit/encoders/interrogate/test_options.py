"""InterroGate's options: a flat config section, and the same as dataclasses for code."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.interrogate import interrogate
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.encoders.interrogate.options import (
    GateOptions,
    GateTraining,
    SavingOptions,
    SparsityOptions,
)
from tests.support.channels import CIFAR, backbone

SECTION: dict[str, Any] = {
    "lambda_s": 0.0,
    "penalty": "l1",
    "weighting": "macs",
    "reduction": "sum",
    "tau": {"near": 0.1, "far": 0.2},
    "budget": "0.6x",
    "ramp": 0.25,
    "multiple": 2,
    "price": "time",
    "layer_times": "times.json",
    "gates": "importance",
    "attention": "channels",
    "projection": False,
    "tie": "residual",
    "initial": 0.02,
    "gate_weights": {"near": 2.0, "far": 1.0},
    "gate_lr": 0.3,
    "gate_every": 2,
    "price_every": 4,
    "pretrain_share": 0.25,
    "shared_share": 0.125,
    "frozen_share": 0.125,
}
GROUPS: tuple[type[Any], ...] = (SparsityOptions, SavingOptions, GateOptions, GateTraining)


def test_the_section_holds_the_fields_of_all_dataclasses() -> None:
    schema, hints = ENCODERS.schema("interrogate"), get_type_hints(interrogate)
    options = [item for group in GROUPS for item in fields(group)]
    types = {name: hint for group in GROUPS for name, hint in get_type_hints(group).items()}
    assert list(schema) == [item.name for item in options] == list(SECTION)
    for item in options:
        assert schema[item.name].default == item.default, item.name
        assert hints[item.name] == types[item.name], item.name


def test_a_section_reaches_the_dataclasses() -> None:
    encoder: InterroGate = ENCODERS.build({"name": "interrogate", **SECTION}, backbone(CIFAR), ("near", "far"))
    for options in (encoder.penalty, encoder.saving, encoder.gate_options, encoder.schedule.options):
        for item in fields(options):
            assert getattr(options, item.name) == SECTION[item.name], item.name


def test_code_gets_what_a_section_gets() -> None:
    in_code = InterroGate(
        backbone(CIFAR),
        ("near", "far"),
        budget=SavingOptions(multiple=2),
        gates=GateOptions(attention="heads"),
        training=GateTraining(frozen_share=0.25),
    )
    section = {"name": "interrogate", "multiple": 2, "attention": "heads", "frozen_share": 0.25}
    encoder: InterroGate = ENCODERS.build(section, backbone(CIFAR), ("near", "far"))
    assert (encoder.saving, encoder.schedule.options) == (in_code.saving, in_code.schedule.options)
    assert list(encoder.state_dict()) == list(in_code.state_dict())


def test_a_bare_number_is_a_share() -> None:
    assert SavingOptions(budget=0.6).text() == "0.6x"
    assert SavingOptions(budget=0.6).target() == SavingOptions(budget="0.6x").target()


@pytest.mark.parametrize(
    ("section", "words"),
    [({"lamda_s": 1.0}, "Did you mean 'lambda_s'"), ({"penalty": "l3"}, "penalty"), ({"ramp": "steep"}, "ramp")],
)
def test_wrong_sections_are_refused_in_one_line(section: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        ENCODERS.check({"name": "interrogate", **section})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"price": "time"}, "price: time says which gates a budget closes first"),
        ({"layer_times": "times.json"}, "layer_times is read for price: time and multiple: auto alone"),
        ({"price": "time", "budget": "0.6x", "gates": "random"}, "gates: random close whatever they cost"),
        ({"multiple": "auto", "frozen_share": 0.0}, "needs epochs with frozen gates"),
        ({"budget": "0.6x", "frozen_share": 0.0}, "leave out frozen_share: 0"),
        ({"multiple": "some"}, "multiple"),
        ({"multiple": 0}, "multiple must be above 0"),
    ],
)
def test_prices_and_widths_that_do_not_fit(section: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ENCODERS.build({"name": "interrogate", **section}, backbone(CIFAR), ("near", "far"))


@pytest.mark.parametrize(
    ("section", "share"),
    [({}, 0.0), ({"budget": "0.6x"}, 0.25), ({"multiple": 8}, 0.25), ({"budget": "0.6x", "frozen_share": 0.5}, 0.5)],
    ids=str,
)
def test_gates_are_frozen_for_a_while_where_something_is_to_be_met(section: dict[str, Any], share: float) -> None:
    encoder = ENCODERS.build({"name": "interrogate", **section}, backbone(CIFAR), ("near", "far"))
    assert encoder.schedule.frozen_share == share


@pytest.mark.parametrize("budget", [False, True])
def test_the_weight_of_the_penalty_follows_the_budget(budget: bool) -> None:
    assert SparsityOptions().weight(budget=budget) == (0.0 if budget else 0.05)
    assert SparsityOptions(lambda_s=0.0).weight(budget=budget) == 0.0
    assert SparsityOptions(lambda_s=0.3).weight(budget=budget) == 0.3
