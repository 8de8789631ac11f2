"""timm models of families without a file: chains that agree with timm's features, and models as one block."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import timm
import torch
from timm.models import _registry
from torch import Tensor, nn

from frugalmtl.backbones.general.agreement import agrees, takes
from frugalmtl.backbones.general.family import General
from frugalmtl.backbones.general.getter import Intermediates
from frugalmtl.backbones.timm import Timm
from frugalmtl.backbones.views import require_residual
from frugalmtl.core.checks import UserError

CHAINS = {"test_nfnet": {}, "test_mambaout": {}, "ese_vovnet19b_slim_dw": {}}
BLOCKS = {"test_byobnet": {}}


def features_only(model: str, **arguments: object) -> list[Tensor]:
    """timm's own features of a noise image, from a network with the weights of seed 0."""
    torch.manual_seed(0)
    network = timm.create_model(model, features_only=True, **arguments).eval()
    with torch.no_grad():
        features = network(image())
    if "NHWC" in str(network.output_fmt):
        features = [feature.permute(0, 3, 1, 2) for feature in features]
    reductions = network.feature_info.reduction()
    return [feature for feature, stride in zip(features, reductions, strict=True) if stride >= 4]


def image(height: int = 96, width: int = 64) -> Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(3))


def build(model: str, **options: object) -> Timm:
    torch.manual_seed(0)
    return Timm(model=model, **options).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [*CHAINS, *BLOCKS])
def test_levels_are_the_features_that_timm_gives(model: str) -> None:
    backbone = build(model)
    with torch.no_grad():
        levels = backbone(image())
    assert all(map(torch.equal, levels, features_only(model)))
    assert backbone.strides == [4, 8, 16, 32]
    assert backbone.image_size is None


@pytest.mark.parametrize("model", CHAINS)
def test_a_chain_has_a_stage_per_level(model: str) -> None:
    backbone = build(model)
    assert len(backbone.stages) == 4
    assert not any(isinstance(module, Intermediates) for module in backbone.modules())


@pytest.mark.parametrize("model", BLOCKS)
def test_other_models_are_one_block(model: str) -> None:
    backbone = build(model)
    assert [type(block) for stage in backbone.stages for block in stage] == [Intermediates]


def test_a_chain_that_differs_in_a_branch_behind_zeros_does_not_agree() -> None:
    """Residual branches that begin at zero would hide it."""
    network = timm.create_model("test_resnet", zero_init_last=True).eval()
    family = General("test_resnet")
    chain = family._chain(network)
    assert agrees(network, chain, (64, 96))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    chain.stages[2][0] = nn.Sequential(network.layer3[0].downsample, nn.ReLU())  # the block without its branch
    assert not agrees(network, chain, (64, 96))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_weights_do_not_depend_on_the_checks_of_the_chain() -> None:
    torch.manual_seed(0)
    plain = timm.create_model("test_nfnet").state_dict()
    state = build("test_nfnet").state_dict()
    unused = {"head.fc.weight", "head.fc.bias"}
    expected = [tensor for name, tensor in plain.items() if name not in unused]
    assert len(expected) == len(state)
    assert all(map(torch.equal, expected, state.values()))


def test_meta_tensors_give_the_same_chain() -> None:
    with torch.device("meta"):
        blank = Timm(model="test_mambaout")
    real = build("test_mambaout")
    assert list(blank.state_dict()) == list(real.state_dict())
    assert (blank.strides, blank.channels, blank.channel_axis) == (real.strides, real.channels, real.channel_axis)


def test_a_model_built_for_a_size_takes_that_of_the_experiment_alone() -> None:
    backbone = Timm((64, 96), model="test_coatnet").eval()
    assert backbone.image_size == (64, 96)
    with torch.no_grad():
        assert [tuple(level.shape[2:]) for level in backbone(image(64, 96))] == [(16, 24), (8, 12), (4, 6), (2, 3)]
        with pytest.raises(UserError, match="takes images of 64 x 96 only, but got 96 x 64"):
            backbone(image())
    assert Timm(model="test_coatnet").image_size == (160, 160)


def test_sizes_that_a_model_takes() -> None:
    network = timm.create_model("test_coatnet").eval()
    assert takes(network, (160, 160))
    assert not takes(network, (64, 96))


def test_published_weights_are_resampled_to_the_size_of_the_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    published = timm.create_model("test_coatnet")
    torch.save(published.state_dict(), tmp_path / "weights.pth")
    config = copy.deepcopy(_registry._model_pretrained_cfgs["test_coatnet"])
    config.file = str(tmp_path / "weights.pth")
    monkeypatch.setitem(_registry._model_pretrained_cfgs, "test_coatnet", config)
    same_size = Timm(model="test_coatnet", weights="imagenet")
    assert torch.equal(same_size.get_submodule("stages.0.1.stem.conv1").weight, published.stem.conv1.weight)
    other = Timm((64, 96), model="test_coatnet", weights="imagenet")
    assert {name for name, value in other.state_dict().items() if value.shape != same_size.state_dict()[name].shape}
    for name, value in other.state_dict().items():
        if value.shape == same_size.state_dict()[name].shape and value.is_floating_point():
            assert torch.equal(value, same_size.state_dict()[name]), name


@pytest.mark.parametrize("pyramid", [None, "stages"])
def test_pyramids_of_a_plain_transformer(pyramid: str | None) -> None:
    arguments = {} if pyramid is None else {"pyramid": pyramid}
    backbone = Timm((64, 96), model="test_vit_relpos", **arguments).eval()
    assert backbone.strides == ([4, 8, 16, 32] if pyramid is None else [16] * len(backbone.strides))
    with torch.no_grad():
        levels = backbone(image(64, 96))
    assert [tuple(level.shape[2:]) for level in levels] == [(64 // s, 96 // s) for s in backbone.strides]


def test_a_pyramid_of_a_hierarchical_model_is_refused() -> None:
    with pytest.raises(UserError, match="pyramid needs a plain transformer"):
        Timm(model="test_byobnet", pyramid="stages")


def test_patches_of_14_pixels_lie_at_stride_16() -> None:
    """The features are those of timm's model for the resized image."""
    backbone = build("vit_small_patch14_dinov2", pyramid="stages")
    assert backbone.strides == [16] * 4
    torch.manual_seed(0)
    network = timm.create_model(
        "vit_small_patch14_dinov2", dynamic_img_size=True, class_token=False, reg_tokens=0, global_pool="avg",
        fc_norm=False,
    ).eval()  # fmt: skip
    with torch.no_grad():
        small = nn.functional.interpolate(image(), size=(84, 56), mode="bilinear")
        expected = network.forward_intermediates(small, indices=[2, 5, 8, 11], intermediates_only=True)
        levels = backbone(image())
    for level, feature in zip(levels, expected, strict=True):
        torch.testing.assert_close(level, feature)


def test_one_block_cannot_be_skipped() -> None:
    with pytest.raises(UserError, match=r"one block \(ByobNet as a whole\), which cannot be skipped"):
        require_residual(build("test_byobnet"))
