"""InterroGate's options: a flat config section, and the same as two dataclasses for code."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.interrogate import interrogate
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.encoders.interrogate.options import GateOptions, SavingOptions
from tests.support.channels import CIFAR, backbone

SECTION: dict[str, Any] = {
    "lambda_s": 0.2,
    "penalty": "l1",
    "weighting": "macs",
    "reduction": "sum",
    "tau": {"near": 0.1, "far": 0.2},
    "budget": "0.6x",
    "ramp": 0.25,
    "multiple": 2,
    "gates": "cost",
    "attention": "channels",
    "projection": False,
    "initial": 0.02,
    "gate_lr": 0.3,
    "gate_every": 2,
    "pretrain_share": 0.25,
    "frozen_share": 0.125,
}


def test_the_section_holds_the_fields_of_both_dataclasses() -> None:
    schema, hints = ENCODERS.schema("interrogate"), get_type_hints(interrogate)
    options = [*fields(SavingOptions), *fields(GateOptions)]
    types = {**get_type_hints(SavingOptions), **get_type_hints(GateOptions)}
    assert list(schema) == [item.name for item in options] == list(SECTION)
    for item in options:
        assert schema[item.name].default == item.default, item.name
        assert hints[item.name] == types[item.name], item.name


def test_a_section_reaches_the_dataclasses() -> None:
    encoder: InterroGate = ENCODERS.build({"name": "interrogate", **SECTION}, backbone(CIFAR), ("near", "far"))
    for options in (encoder.saving, encoder.schedule.options):
        for item in fields(options):
            assert getattr(options, item.name) == SECTION[item.name], item.name


def test_code_gets_what_a_section_gets() -> None:
    saving, gates = SavingOptions(multiple=2), GateOptions(attention="heads", frozen_share=0.25)
    in_code = InterroGate(backbone(CIFAR), ("near", "far"), saving=saving, gates=gates)
    section = {"name": "interrogate", "multiple": 2, "attention": "heads", "frozen_share": 0.25}
    encoder: InterroGate = ENCODERS.build(section, backbone(CIFAR), ("near", "far"))
    assert (encoder.saving, encoder.schedule.options) == (in_code.saving, in_code.schedule.options)
    assert list(encoder.state_dict()) == list(in_code.state_dict())


def test_a_bare_number_is_a_share() -> None:
    assert SavingOptions(budget=0.6).budget_text() == "0.6x"
    assert SavingOptions(budget=0.6).target() == SavingOptions(budget="0.6x").target()


@pytest.mark.parametrize(
    ("section", "words"),
    [({"lamda_s": 1.0}, "Did you mean 'lambda_s'"), ({"penalty": "l3"}, "penalty"), ({"ramp": "steep"}, "ramp")],
)
def test_wrong_sections_are_refused_in_one_line(section: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        ENCODERS.check({"name": "interrogate", **section})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("budget", [None, "0.6x"])
def test_the_weight_of_the_penalty_follows_the_budget(budget: str | None) -> None:
    assert SavingOptions(budget=budget).penalty_weight() == (0.05 if budget is None else 0.0)
    assert SavingOptions(budget=budget, lambda_s=0.0).penalty_weight() == 0.0
    assert SavingOptions(budget=budget, lambda_s=0.3).penalty_weight() == 0.3
