"""Exported forms: gathers by index without a branch, with equal outputs whatever is on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.encoders.adamtl.parts import Rule
from frugalmtl.export.onnx import Onnx
from frugalmtl.export.torch_export import TorchExport
from tests.support.adamtl.runtime import pair_of

CASES: dict[str, dict[str, Any]] = {
    "learned": {},
    "dense, norm": {"attention": "dense", "dropped": "norm"},
    "nothing": {"rules": {"0.1x": Rule(1e6)}},
    "everything": {"rules": {"0.1x": Rule(-1e6)}},
}


class Levels(nn.Module):
    """The levels of the first task's pyramid by name."""

    def __init__(self, runtime: nn.Module) -> None:
        super().__init__()
        self.runtime = runtime

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {f"level{number}": level for number, level in enumerate(self.runtime(image)["first"])}


IMAGES = torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def levels(kind: str, case: str) -> Levels:
    pair = pair_of(kind, **CASES[case])
    runtime = pair.runtime.at("0.1x") if pair.runtime.points else pair.runtime
    with torch.no_grad():
        shares = [value.float().mean().item() for value in runtime.decide(IMAGES).values()]
    extreme = {"nothing": 0.0, "everything": 1.0}
    assert all(share == extreme[case] for share in shares) if case in extreme else 0 < min(shares) + max(shares) < 2
    return Levels(runtime.requires_grad_(False)).eval()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["swin_transformer", "vision_transformer"])
@pytest.mark.parametrize("case", CASES)
def test_programs_give_what_the_module_gives(kind: str, case: str, tmp_path: Path) -> None:
    exported = TorchExport()(levels(kind, case), tmp_path / "model.pt2", (64, 96), examples=IMAGES)
    assert exported.shape == ("N", "3", "64", "96")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["swin_transformer", "vision_transformer"])
def test_onnxruntime_gives_what_the_module_gives(kind: str, case: str, tmp_path: Path) -> None:
    exported = Onnx()(levels(kind, case), tmp_path / "model.onnx", (64, 96), examples=IMAGES)
    assert exported.shape == ("N", "3", "64", "96")
