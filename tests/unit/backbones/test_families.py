"""Families of timm models as a registry: one file is enough for a new one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm
import torch

from frugalmtl.backbones import families
from frugalmtl.backbones.families import FAMILIES
from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError
from tests.support.backbones import family_of, tiny_backbone

MODEL = "ese_vovnet19b_slim_dw"
"""Of a family without a file; it is cut as a chain by its own feature information."""
TOY = f"""
from frugalmtl.backbones.families.base import Family

class VoVNet(Family):
    module, noun, tiny = "vovnet", "a VoVNet", "{MODEL}"
    options = ("width",)
"""


@pytest.mark.parametrize("name", FAMILIES.names())
def test_families_know_their_models(name: str) -> None:
    family = family_of(name)
    assert family.tiny in family().models()
    assert set(family().models()) >= set(timm.list_models(module=family.module))
    assert family.noun.startswith(("a ", "an "))


def test_families_share_no_model() -> None:
    names = [model for name in FAMILIES.names() for model in family_of(name)().models()]
    assert len(set(names)) == len(names)


def test_one_file_adds_a_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"width needs a ResNet, but got 0\.5"):
        Timm(model=MODEL, width=0.5)
    (tmp_path / "vovnet.py").write_text(TOY, encoding="utf-8")
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "frugalmtl.backbones.families.vovnet", raising=False)
    assert "vovnet" in FAMILIES.names()
    backbone = tiny_backbone("vovnet").eval()
    assert backbone.strides == [4, 8, 16, 32]
    with torch.no_grad():
        levels = backbone(torch.randn(1, 3, 64, 96))
    assert [level.shape[1] for level in levels] == backbone.channels
    with pytest.raises(UserError, match=r"width needs a ResNet or a VoVNet, but got 0\.5"):
        Timm(model="hrnet_w18_small", width=0.5)
