"""Dry runs: refusals of a late stage come before a training, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.dry_run import dry_run
from tests.support.tiny_training import build_balancer, build_model, weights_of

SETTINGS = TrainSettings(epochs=4, accelerator="cpu")


def rehearse(encoder: str, balancer: Any) -> None:
    dry_run(build_model(encoder), build_balancer(balancer), SETTINGS, (6, 6))


def test_a_later_stage_is_refused_before_the_first_begins() -> None:
    with pytest.raises(UserError, match=r"^stage 'together': .* set gradients_at to 'parameters'"):
        rehearse("stitched", "pcgrad")


def test_a_model_of_one_stage_is_refused_without_naming_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise UserError("no")

    monkeypatch.setattr(Balancer, "before_step", refuse)
    with pytest.raises(UserError, match=r"^no$"):
        rehearse("shared", "uniform")


def test_every_stage_is_entered_and_every_hook_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for hook in ("before_step", "choose", "after_step"):
        monkeypatch.setattr(Balancer, hook, lambda *_, hook=hook: calls.append(hook))
    monkeypatch.setattr(Balancer, "enter_epoch", lambda _, epoch, epochs: calls.append(f"epoch {epoch} of {epochs}"))
    rehearse("stitched", "uniform")
    step = ["choose", "before_step", "after_step"]
    assert calls == ["epoch 0 of 4", *step, "epoch 2 of 4", *step]


@pytest.mark.parametrize(
    ("encoder", "balancer"),
    [
        ("shared", "pcgrad"),
        ("shared", "auto_lambda"),
        ("apart", "pcgrad"),
        ("stitched", {"name": "pcgrad", "gradients_at": "parameters"}),
        ("stitched", "uncertainty"),
        ("gated", "uniform"),
    ],
)
def test_a_dry_run_leaves_no_trace(encoder: str, balancer: Any) -> None:
    model, weights = build_model(encoder), build_balancer(balancer)
    expected = {name: value.clone() for name, value in weights_of(model, weights).items()}
    drawn = torch.get_rng_state()
    dry_run(model, weights, SETTINGS, (6, 6))
    assert torch.equal(torch.get_rng_state(), drawn)
    actual = weights_of(model, weights)
    assert [name for name, value in expected.items() if not torch.equal(value, actual[name])] == []
    parameters = [*model.parameters(), *weights.parameters()]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in parameters)


def settings(**more: Any) -> TrainSettings:
    return TrainSettings(**{"epochs": 4, "accelerator": "cpu", **more})


def test_the_step_sees_as_many_images_as_a_process_will(monkeypatch: pytest.MonkeyPatch) -> None:
    images: list[list[int]] = []
    monkeypatch.setattr(Balancer, "before_step", lambda _, step: images.append([len(b.image) for b in step.batches]))
    more = settings(batch_size=6, devices=2, accumulate=3)
    dry_run(build_model(), build_balancer("uniform"), more, (6, 6))
    assert images == [[3, 3]], "6 over 2 processes; two of the accumulated batches go through all that any number does"


def test_precision_and_layout_are_those_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[torch.dtype, bool]] = set()

    def notice(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen.add((torch.get_autocast_dtype("cpu"), inputs[0].is_contiguous(memory_format=torch.channels_last)))

    model = build_model()
    model.encoder.get_submodule("trunk").register_forward_pre_hook(notice)  # type: ignore[arg-type]
    dry_run(model, build_balancer("uniform"), settings(precision="bf16-mixed"), (6, 6))
    assert seen == {(torch.bfloat16, True)}


def test_one_value_per_channel_is_told_in_the_users_words() -> None:
    with pytest.raises(
        UserError, match=r"^stage 'train': a training step on 1 image of 1 x 1 .* raise batch_size to 2 or more"
    ) as caught:
        dry_run(build_model(), build_balancer(), settings(batch_size=1), (1, 1))
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(UserError, match=r"batch_size 2 over 2 devices.* raise batch_size to 4 or more"):
        dry_run(build_model(), build_balancer(), settings(batch_size=2, devices=2), (1, 1))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "needs more memory than cpu has: lower batch_size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "needs more memory than cpu has"),
        (MemoryError(), "needs more memory than cpu has"),
        (
            RuntimeError("size of tensor a (3) must match\nmore"),
            r"fails: size of tensor a \(3\) must match \(RuntimeError",
        ),
        (ValueError("no"), r"fails: no \(ValueError at engine/"),
    ],
)
def test_what_torch_refuses_is_one_line_that_names_the_stage(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Balancer, "before_step", refuse)
    with pytest.raises(UserError, match=r"^stage 'apart': a training step on 8 images of 6 x 6 " + words) as caught:
        rehearse("stitched", "uniform")
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(Balancer, "before_step", fail)
    with pytest.raises(TypeError, match="a bug"):
        rehearse("shared", "uniform")
