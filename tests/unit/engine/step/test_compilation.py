"""Steps of compiled networks: the same as those of the networks themselves, or refused before a training begins."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.dry_run import dry_run
from frugalmtl.engine.job import check_trainable
from frugalmtl.engine.launch import local_fabric, make_fabric
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.engine.step.compilation import TRIAL
from frugalmtl.engine.step.setup import CompiledParts
from tests.support.tiny_training import DEFAULTS, build_balancer, build_batch, build_model, weights_of

SECTIONS: list[Any] = [
    "uncertainty",
    "pcgrad",
    pytest.param("famo", marks=pytest.mark.slow),
    pytest.param({"name": "mgda", "gradients_at": "parameters"}, marks=pytest.mark.slow),
    pytest.param({"name": "nash_mtl", "gradients_at": "parameters_batched"}, marks=pytest.mark.slow),
]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="captures CUDA graphs")


def steps(
    section: Any, count: int = 2, device: str = "cpu", backend: str = TRIAL, **settings: Any
) -> dict[str, Tensor]:
    """Weights after so many steps of a network with dropout."""
    torch.manual_seed(0)
    model = build_model("shared").to(device)
    balancer = build_balancer(section)
    balancer.attach(model)
    balancer.to(device).enter_epoch(0, 1)
    chosen = TrainSettings(**{**DEFAULTS, "channels_last": False, **settings})
    built = StepSetup(local_fabric(torch.device(device)), model, balancer, Stage(), chosen, backend=backend)
    torch.manual_seed(3)
    for number in range(count):
        batches = [build_batch(number)]
        take_step(built, batches, validation=batches, step=number)
    return {name: value.cpu() for name, value in weights_of(model, balancer).items()}


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_compiled_steps_are_the_same(section: Any) -> None:
    expected, actual = steps(section), steps(section, compile=True)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, msg=name, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_generated_kernels_take_the_same_steps() -> None:
    expected, actual = steps("uncertainty"), steps("uncertainty", compile=True, backend="inductor")
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, msg=name, rtol=1e-4, atol=1e-5)


@needs_gpu
@pytest.mark.slow
@pytest.mark.parametrize("mode", [True, "reduce-overhead"])
def test_captured_steps_are_the_same_on_a_gpu(mode: Any) -> None:
    options: dict[str, Any] = {"count": 8, "device": "cuda", "backend": "inductor"}
    expected, actual = steps("uncertainty", **options), steps("uncertainty", compile=mode, **options)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, msg=name, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("section", "parts"), [("uniform", 3), ("pcgrad", 1)])
def test_a_model_is_as_it_was_outside_of_a_step(section: Any, parts: int) -> None:
    model = build_model("shared")
    compiled = CompiledParts(model, build_balancer(section), True, backend=TRIAL)
    with compiled.active():
        inside = ["encode" in vars(model.encoder), "branch" in vars(model.encoder), "forward" in vars(model.decoder)]
    assert sum(inside) == parts
    assert not {"encode", "branch"} & vars(model.encoder).keys()
    assert "forward" not in vars(model.decoder)


def settings_of(**more: Any) -> TrainSettings:
    return TrainSettings(**{**DEFAULTS, **more})


@pytest.mark.parametrize(
    ("section", "settings", "message"),
    [
        ("uniform", {"compile": True, "devices": 2}, "compile: true trains in one process, but devices is 2"),
        ("pcgrad", {"compile": "reduce-overhead"}, "but the balancer pcgrad takes gradients task by task"),
        ("uniform", {"compile": "reduce-overhead", "accumulate": 2}, "but accumulate is above 1"),
        ("uniform", {"compile": "reduce-overhead", "interference_every": 5}, "but interference_every is set"),
    ],
)
def test_what_cannot_be_compiled_is_refused(section: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_trainable(build_model("shared"), build_balancer(section), settings_of(**settings))


def test_an_encoder_that_changes_from_step_to_step_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model("shared")
    monkeypatch.setattr(type(model.encoder), "enter_step", lambda self, share: None)
    check_trainable(model, build_balancer(), settings_of())
    with pytest.raises(UserError, match="compile: true: the encoder Shared runs differently from step to step"):
        check_trainable(model, build_balancer(), settings_of(compile=True))


def test_graphs_are_captured_on_gpus_only() -> None:
    with pytest.raises(UserError, match="needs a GPU: take compile: true on a CPU"):
        make_fabric(settings_of(compile="reduce-overhead"))


def test_a_dry_run_refuses_what_torch_cannot_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(setup: StepSetup, *_: Any, **__: Any) -> None:
        if setup.compiled is not None:
            raise RuntimeError("no such operation\nand a page more")

    monkeypatch.setattr("frugalmtl.engine.dry_run.take_step", unsupported)
    model = build_model("shared")
    dry_run(model, build_balancer(), settings_of(), (6, 6))
    with pytest.raises(UserError) as error:
        dry_run(model, build_balancer(), settings_of(compile=True), (6, 6))
    assert str(error.value) == "this training cannot be compiled: no such operation: set compile to false"


@pytest.mark.slow
def test_a_dry_run_takes_a_compiled_step_of_every_stage() -> None:
    balancer = build_balancer({"name": "pcgrad", "gradients_at": "parameters"})
    dry_run(build_model("stitched"), balancer, settings_of(compile=True), (6, 6))


def test_a_run_may_go_on_without_its_compiler() -> None:
    assert settings_of(compile=True).identity() == settings_of().identity()
    assert "compile" not in settings_of().identity()
