"""Backbones of the library timm, as chains of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from timm import create_model, list_models
from torch import Tensor, nn

from frugalmtl.backbones._chains import Chain, chain_of
from frugalmtl.backbones._packaged_weights import packaged_weights, read_packaged_weights
from frugalmtl.backbones._weights import fill, read_weights
from frugalmtl.backbones.base import Backbone, State, tensors_of
from frugalmtl.core.checks import UserError, known, positive
from frugalmtl.core.types import Pyramid

FAMILIES: dict[str, dict[str, Any]] = {
    "resnet": {},
    "efficientnet": {},
    "mobilenetv3": {},
    "convnext": {},
    "regnet": {},
    "hrnet": {"head": ""},
    "swin_transformer": {"strict_img_size": False},
    "vision_transformer": {
        "dynamic_img_size": True,
        "class_token": False,
        "reg_tokens": 0,
        "global_pool": "avg",
        "fc_norm": False,
    },
}
"""Families of timm models that can be cut into a chain, with what their constructors need for images of any size."""

STAGES = (64, 128, 256, 512)
"""Widths that timm gives the four stages of a ResNet (a bottleneck's output has 4 times as many channels)."""


class Timm(Backbone):
    """A timm model without its head: a chain of residual blocks and a pyramid at strides 4, 8, 16 and 32.

    ResNets (and ResNeXts), EfficientNets, MobileNets V2 to V4, ConvNeXts and RegNets give the output of each stage from
    stride 4 on. HRNets give the four branches of the last stage as they are (``hrnet_w18``: 18, 36, 72 and 144
    channels), without the modules that widen them for classification. Swin Transformers give the output of each stage
    without a norm, and take images of any size: windows are padded; whether a stage shifts its windows stays as at the
    size of the pre-training. Vision Transformers have four stages of equally many blocks (our choice); class and
    register tokens are left out, and positions are resampled to the image, so that their state is a grid.

    ``pyramid`` of Vision Transformers: ``"simple"`` makes four levels of the last block (Li et al. 2022, see
    :class:`~frugalmtl.backbones._chains.SimplePyramid`); ``"stages"`` gives the four grids after each quarter of the
    blocks as they are, without the final norm, all at the stride of a patch, for the head ``dpt``. With 12 blocks these
    are blocks 3, 6, 9 and 12, which DPT reads too (Ranftl et al., ICCV 2021, section 4); with 24 blocks they are 6, 12,
    18 and 24, where DPT reads 5, 12, 18 and 24.

    ``output_stride`` of ResNets: stages that would go beyond it keep stride 1 and dilate instead. At 8, layer3 has
    dilation 2 and layer4 dilation 4, and the 3x3 convolution that lost its stride has half of that (1 and 2), as in
    Vandenhende et al., "Multi-Task Learning for Dense Prediction Tasks: A Survey" (TPAMI 2021).

    ``width`` of ResNets multiplies the channels of the four stages; the stem keeps its 64, which timm's constructor
    does not change.

    Args:
        model: name of a timm model, e.g. ``"resnet50"``. A tag behind a dot (``"resnet50.a1_in1k"``) only decides the
            normalisation that is expected of the image.
        weights: None for a random initialisation; ``"package"`` for the ImageNet weights inside an installed package
            (``tf_efficientnet_lite0``, ``mobilenetv2_100``); or a local .safetensors or .pth file under timm's names.
            Nothing is ever downloaded.
        output_stride: 8 or 16 for ResNets; None keeps 32.
        width: multiplier of a ResNet's stages; published weights fit 1 only.
        pyramid: levels of a Vision Transformer; None for the family's own pyramid, which is ``"simple"`` there.

    Raises:
        UserError: unknown or unsupported model, weights that are not there or do not fit, an output stride, width or
            pyramid that the model does not have.
    """

    def __init__(
        self,
        *,
        model: str,
        weights: str | None = None,
        output_stride: int | None = None,
        width: float = 1.0,
        pyramid: Literal["simple", "stages"] | None = None,
    ) -> None:
        super().__init__()
        name = model.partition(".")[0]
        family = _family(name)
        arguments = dict(FAMILIES[family])
        if output_stride is not None:
            if family != "resnet" or output_stride not in (8, 16):
                raise UserError(
                    f"output_stride must be 8 or 16 and needs a ResNet, but got {output_stride} for {model!r}"
                )
            arguments["output_stride"] = output_stride
        if width != 1.0:
            if family != "resnet":
                raise UserError(f"width needs a ResNet, but got {width} for {model!r}: leave it out")
            positive("width", width)
            arguments["channels"] = tuple(max(1, round(channels * width)) for channels in STAGES)
        if pyramid is not None and family != "vision_transformer":
            raise UserError(f"pyramid needs a vision transformer, but got {pyramid!r} for {model!r}: leave it out")
        packaged = packaged_weights(name) if weights == "package" else None
        local = read_weights(Path(weights)) if weights is not None and packaged is None else {}
        try:
            network = create_model(model, pretrained=False, **arguments)
        except RuntimeError as error:  # timm's word for a tag that it does not know
            raise UserError(f"cannot build timm model {model!r}: {error}") from None
        chain = chain_of(network, known("pyramid", pyramid or "simple", ("simple", "stages")))
        expects = packaged or network.pretrained_cfg
        self.mean, self.std = _triple(expects, "mean"), _triple(expects, "std")
        if weights is not None:
            tensors = read_packaged_weights(name, network) if packaged else local
            needed = _names_of(network, chain)
            fill(network, _renamed(tensors, network), needed, packaged.distribution if packaged else repr(weights))
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in chain.stages)
        self.levels = tuple(chain.levels)
        self.pyramid_stages = tuple(sorted({stage for stage, _ in self.levels}))
        self.channel_axis = chain.channel_axis
        self.neck = chain.neck
        self._probe()

    def pyramid(self, states: Mapping[int, State]) -> Pyramid:
        """``{stage: its state}`` -> levels ``[B, C_l, H/s_l, W/s_l]``."""
        tensors = [tensors_of(states[stage])[index] for stage, index in self.levels]
        if self.neck is not None:
            made: Pyramid = self.neck(*tensors)
            return made
        return [tensor.permute(0, 3, 1, 2) for tensor in tensors] if self.channel_axis == -1 else tensors


def _family(name: str) -> str:
    members = {family: list_models(module=family) for family in FAMILIES}
    for family, names in members.items():
        if name in names:
            return family
    families = f"choose one of the families {', '.join(FAMILIES)}"
    if name in list_models():
        raise UserError(f"timm model {name!r} cannot be cut into a chain: {families}")
    close = get_close_matches(name, [name for names in members.values() for name in names], n=3)
    raise UserError(f"unknown timm model {name!r}: {'did you mean ' + ' or '.join(close) + '?' if close else families}")


def _triple(source: object, key: str) -> tuple[float, float, float]:
    values = source[key] if isinstance(source, Mapping) else getattr(source, key)
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _names_of(network: nn.Module, chain: Chain) -> list[str]:
    """timm's names of the tensors that the chain uses."""
    parts = nn.ModuleList([nn.ModuleList(blocks) for blocks in chain.stages])
    used = {id(tensor) for tensor in parts.state_dict(keep_vars=True).values()}
    if chain.neck is not None:
        used |= {id(tensor) for tensor in chain.neck.state_dict(keep_vars=True).values()}
    return [name for name, tensor in network.state_dict(keep_vars=True).items() if id(tensor) in used]


def _renamed(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """What vision transformers with class tokens or a pooled norm call differently."""
    renamed = dict(tensors)
    own = network.state_dict()
    for key in ("weight", "bias"):
        if f"fc_norm.{key}" in renamed and f"norm.{key}" not in renamed:
            renamed[f"norm.{key}"] = renamed.pop(f"fc_norm.{key}")
    positions = renamed.get("pos_embed")
    if positions is not None and "pos_embed" in own and positions.shape[1] > own["pos_embed"].shape[1]:
        renamed["pos_embed"] = positions[:, positions.shape[1] - own["pos_embed"].shape[1] :]
    return renamed
