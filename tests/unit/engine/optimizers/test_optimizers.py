"""Optimisers of torch: every class that can take the step of a training is a member, with its own options."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.engine import OPTIMIZERS, SCHEDULES, TrainSettings
from frugalmtl.engine.optimizers._torch import ABSENT, DEFAULTS, HIDDEN

CLASSES = {
    name: kind
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
}


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    values = [torch.nn.Parameter(torch.randn(*shape, generator=generator)) for shape in ((3, 2, 3, 3), (4, 3), (5,))]
    for value in values:
        value.grad = torch.randn(value.shape, generator=generator)
    return values


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_every_member_takes_steps_as_the_class_of_torch(name: str) -> None:
    kind = next(kind for kind in CLASSES.values() if kind.__name__.lower() == name)
    actual, expected = parameters(), parameters()
    one: torch.optim.Optimizer = OPTIMIZERS.build(name, [{"params": actual}])
    other = kind(expected, **DEFAULTS.get(name, {}))
    for _ in range(3):
        one.step()
        other.step()
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
    assert not torch.equal(actual[0], parameters()[0])


def test_classes_are_absent_for_a_reason() -> None:
    assert {name.lower() for name in CLASSES} == {*OPTIMIZERS.names(), *(name.lower() for name in ABSENT)}
    for name in ABSENT:
        values = parameters()
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            CLASSES[name](values).step()
        with pytest.raises(UserError, match=f"optimizer.*{name.lower()}"):
            TrainSettings(optimizer={"name": name.lower()})


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_options_are_those_of_the_signature(name: str) -> None:
    schema = OPTIMIZERS.schema(name)
    kind = next(kind for kind in CLASSES.values() if kind.__name__.lower() == name)
    accepted = [key for key in inspect.signature(kind).parameters if key not in ("params", *HIDDEN)]
    assert list(schema) == accepted
    assert all(item.annotation is not inspect.Parameter.empty for item in schema.values())
    assert "Tensor" not in str([item.annotation for item in schema.values()])
    assert OPTIMIZERS.describe(name) == f"{kind.__name__} of ``torch.optim``."
    assert all(f"    {key}: " in (inspect.getdoc(OPTIMIZERS.get(name)) or "") for key in schema)


def test_defaults_of_configs_from_before() -> None:
    defaults = {name: {key: item.default for key, item in OPTIMIZERS.schema(name).items()} for name in DEFAULTS}
    assert defaults["adam"].items() >= {"lr": 1e-4, "weight_decay": 1e-4, "betas": (0.9, 0.999)}.items()
    assert defaults["adamw"].items() >= {"lr": 1e-4, "weight_decay": 1e-2, "betas": (0.9, 0.999)}.items()
    sgd = {"lr": 1e-3, "weight_decay": 1e-4, "momentum": 0.9, "nesterov": False}
    assert defaults["sgd"].items() >= sgd.items()


@pytest.mark.parametrize(
    "section",
    [
        {"name": "rmsprop", "alpha": 0.9, "centered": True},
        {"name": "nadam", "betas": [0.8, 0.99], "decoupled_weight_decay": True},
        {"name": "adafactor", "eps": [None, 1e-3]},
        {"name": "sgd", "foreach": False},
    ],
)
def test_options_reach_torch(section: dict[str, Any]) -> None:
    settings = TrainSettings(optimizer=section)
    group = OPTIMIZERS.build(settings.optimizer, [{"params": parameters()}]).param_groups[0]
    for key, value in section.items():
        if key != "name":
            assert group[key] == (tuple(value) if isinstance(value, list) else value), key


@pytest.mark.parametrize("option", HIDDEN)
def test_options_that_no_training_can_use_are_refused(option: str) -> None:
    with pytest.raises(UserError, match=f"argument of optimizer 'adam': .*'{option}'"):
        TrainSettings(optimizer={"name": "adam", option: True})


TOY = """
def toy({first}, *, rate: float = 0.5):
    \"\"\"A toy.\"\"\"
    return {first}, rate
"""


@pytest.mark.parametrize(("registry", "first"), [(OPTIMIZERS, "groups"), (SCHEDULES, "progress")])
def test_a_file_adds_a_member(registry: Any, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(TOY.format(first=first))
    module = sys.modules[registry.package]
    monkeypatch.setattr(module, "__path__", [*module.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{registry.package}.toy", raising=False)
    assert "toy" in registry.names()
    assert registry.build({"name": "toy", "rate": 0.1}, 7) == (7, 0.1)
    monkeypatch.delitem(sys.modules, f"{registry.package}.toy")
