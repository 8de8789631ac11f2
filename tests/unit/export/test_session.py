"""Deployed networks in onnxruntime: outputs, refusals, and a stopwatch that follows the budget's runtime."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.deployment import deploy
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built, build
from frugalmtl.export import OnnxSession, in_onnxruntime, stopwatch_of

SIZE = (64, 64)


def built(**encoder: Any) -> Built:
    return build(
        Experiment(
            tasks=[{"kind": "depth"}, {"kind": "segmentation", "classes": 3}],
            image_size=SIZE,
            backbone={"name": "timm", "model": "test_resnet"},
            encoder={"name": "hard_sharing"} | encoder,
            decoder={"name": "independent", "head": "linear"},
        )
    )


@pytest.mark.parametrize("batch", [1, 8])
def test_a_session_gives_what_the_module_gives(batch: int) -> None:
    deployed = deploy(built().model)
    image = torch.randn(batch, 3, *SIZE)
    outputs = in_onnxruntime(deployed, SIZE)(image)
    with torch.inference_mode():
        expected = deployed(image)
    assert list(outputs) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(outputs[name], value, rtol=1e-4, atol=1e-4)


def test_what_chooses_by_the_image_has_no_fixed_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frugalmtl.export._session.decides", lambda _: True)
    with pytest.raises(UserError, match="chooses for each image what it runs"):
        in_onnxruntime(nn.Identity(), SIZE)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frugalmtl.export._session.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"runtime onnxruntime needs onnxruntime: run pip install .frugalmtl\[onnx\]."):
        in_onnxruntime(nn.Identity(), SIZE)


@pytest.mark.parametrize(("budget", "sessions"), [("35ms@onnxruntime", 1), ("35ms", 0)])
def test_the_stopwatch_runs_what_the_budget_is_for(budget: str, sessions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[OnnxSession] = []
    real = in_onnxruntime

    def counted(*arguments: Any, **options: Any) -> OnnxSession:
        opened.append(real(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr("frugalmtl.export._session.in_onnxruntime", counted)
    model = built(name="interrogate", budget=budget, frozen_share=0.5).model
    (milliseconds,) = stopwatch_of(model, SIZE)()
    assert milliseconds > 0
    assert len(opened) == sessions
