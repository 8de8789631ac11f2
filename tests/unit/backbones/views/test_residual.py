"""Residual views: equal to their blocks forwards and backwards, in both modes, and what skipping means."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from timm import create_model
from timm.models import _efficientnet_blocks as timm_blocks
from timm.models import vision_transformer as vit
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.families.vision_transformer import GridBlock
from frugalmtl.backbones.views import Residual, residual_blocks, residual_of
from frugalmtl.backbones.views.lookup import PLAIN, VIEWS
from frugalmtl.core.checks import UserError
from tests.support.backbones import tiny_backbone
from tests.support.channels import image, scramble
from tests.support.views.residual import KINDS, residual_backbone

TWO_HALVES = (GridBlock, SwinTransformerBlock)
"""Blocks that add to their input twice; views add the two first, so that the last digit differs."""


def blocks_with_states(backbone: Backbone) -> Iterator[tuple[str, nn.Module, Residual | None, Tensor]]:
    state = image(2)
    for name, view in residual_blocks(backbone).items():
        block = backbone.get_submodule(name)
        yield name, block, view, state
        with torch.no_grad():
            state = block(state)


def through(view: Residual, state: Tensor) -> Tensor:
    return view.after(view.shortcut(state) + view.branch(state))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_views_equal_their_blocks(kind: str, training: bool) -> None:
    """Outputs, gradients of input and weights, and the statistics that batch normalisation keeps."""
    backbone = residual_backbone(kind).train(training)
    residual = 0
    for name, block, view, state in blocks_with_states(backbone):
        if view is None:
            continue
        residual += 1
        twin = deepcopy(block)
        copied = residual_of(twin)
        assert copied is not None
        results, gradients = [], []
        for run, module in ((block, block), (lambda tensor, view=copied: through(view, tensor), twin)):
            source = state.clone().requires_grad_()
            torch.manual_seed(0)
            output = run(source)
            output.square().sum().backward()
            results.append(output.detach())
            gradients.append([source.grad, *(parameter.grad for parameter in module.parameters())])
        bitwise = type(block).__name__ not in ("GridBlock", "SwinTransformerBlock", "MobileAttention")
        torch.testing.assert_close(*results, rtol=0 if bitwise else 1e-6, atol=0 if bitwise else 1e-6, msg=name)
        for expected, computed in zip(*gradients, strict=True):
            torch.testing.assert_close(expected, computed, rtol=1e-4, atol=1e-4)
        for expected, computed in zip(block.buffers(), twin.buffers(), strict=True):
            torch.testing.assert_close(expected, computed)
    assert residual > 0


@pytest.mark.parametrize("kind", KINDS)
def test_skipping_runs_the_projection_alone(kind: str) -> None:
    """The state has the shape of the block's output, no activation acts on it, and the norms of the branch rest."""
    backbone = residual_backbone(kind).train()
    for _, block, view, state in blocks_with_states(backbone):
        if view is None:
            continue
        inside = set(view.projection.modules()) if view.projection is not None else set()
        norms = [part for part in block.modules() if isinstance(part, _BatchNorm) and part not in inside]
        before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
        skipped = view.shortcut(state)
        assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
        assert skipped.shape == block(state).shape
        if view.projection is None:
            assert skipped is state
        else:
            assert (skipped < 0).any() or state.min() >= 0, "the projection's output is not activated"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_registered_in_a_block(kind: str) -> None:
    backbone = residual_backbone(kind)
    before = [name for name, _ in backbone.named_modules()], list(backbone.state_dict())
    residual_blocks(backbone)
    assert ([name for name, _ in backbone.named_modules()], list(backbone.state_dict())) == before


def test_a_deep_copy_views_the_copied_block() -> None:
    block = residual_backbone("resnet").get_submodule("stages.1.0")
    view, copied = deepcopy((residual_of(block), block))[0], block
    assert view is not None
    assert view.block is not copied
    block.conv1 = nn.Identity()
    replaced = residual_of(block)
    assert replaced is not None
    assert replaced.block.conv1 is block.conv1


def test_blocks_without_a_shortcut_always_run() -> None:
    views = residual_blocks(residual_backbone("mobilenetv3"))
    names = [name for name, view in views.items() if view is None]
    assert names[0] == "stages.0.0", "the stem"
    assert 0 < len(names) < len(views)
    assert residual_blocks(residual_backbone("swin_transformer"))["stages.1.0"] is None, "patch merging"


def test_an_unknown_block_is_named() -> None:
    with pytest.raises(UserError, match=r"the block stages\.1\.1 \(Exchange\) is not known.*another family, or add"):
        residual_blocks(tiny_backbone("high_resolution_net"))
    scaling = GridBlock(vit.ParallelScalingBlock(16, 2))
    with pytest.raises(UserError, match="GridBlock of ParallelScalingBlock"):
        residual_of(scaling)

    class Changed(timm_blocks.InvertedResidual):  # type: ignore[misc]  # untyped in timm
        pass

    with pytest.raises(UserError, match="Changed"):
        residual_of(Changed(8, 8))


def test_every_type_has_one_view() -> None:
    kinds = [kind for view in VIEWS for kind in view.blocks]
    assert len(set(kinds)) == len(kinds)
    assert not {*kinds} & {*PLAIN}


RARE = {
    "anti-aliased, with attention, bottleneck": ("seresnetaa50d", "layer3.0"),
    "anti-aliased, with attention, basic": ("resnetblur18", "layer3.0"),
    "regnet with squeeze-and-excitation": ("regnety_002", "s2.b1"),
    "edge residual": ("efficientnet_es", "blocks.1.1"),
    "conv-bn-act": ("efficientnetv2_s", "blocks.0.1"),
    "conditional convolutions": ("efficientnet_cc_b0_4e", "blocks.4.1"),
    "universal inverted residual": ("mobilenetv4_conv_small", "blocks.2.1"),
    "mobile attention": ("mobilenetv4_hybrid_medium", "blocks.3.4"),
}


@pytest.mark.parametrize("case", RARE)
def test_blocks_of_other_models(case: str) -> None:
    model, name = RARE[case]
    options = {"block_args": {"attn_layer": "eca"}} if model == "resnetblur18" else {}
    network = create_model(model, pretrained=False, drop_path_rate=0.1, **options)
    block = network.get_submodule(name)
    scramble(block, 2)
    view = residual_of(block.eval())
    assert view is not None
    channels = next(part.in_channels for part in block.modules() if hasattr(part, "in_channels"))
    state = torch.randn(2, channels, 8, 8, generator=torch.Generator().manual_seed(0)).relu()
    with torch.no_grad():
        torch.testing.assert_close(through(view, state), block(state), rtol=1e-6, atol=1e-6)
    block.train()
    outputs = []
    for run in (block, lambda tensor: through(view, tensor)):
        torch.manual_seed(3)
        outputs.append(run(state))
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "block", [vit.ResPostBlock(16, 2), vit.ParallelThingsBlock(16, 2), vit.Block(16, 2, init_values=0.1)]
)
def test_other_transformer_blocks(block: nn.Module) -> None:
    grid = GridBlock(block)
    scramble(grid, 2)
    view = residual_of(grid)
    assert view is not None
    state = torch.randn(2, 3, 5, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(through(view, state), grid(state), rtol=1e-5, atol=1e-5)
