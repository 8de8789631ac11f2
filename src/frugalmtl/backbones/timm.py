"""Models of the library timm as backbones: chains of stages of blocks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from timm import create_model, list_models
from torch import nn

from frugalmtl.backbones._packaged_weights import packaged_weights, read_packaged_weights
from frugalmtl.backbones._published_weights import WORD, read_published_weights, word_of
from frugalmtl.backbones._weights import fill, read_weights
from frugalmtl.backbones.base import Backbone, State, tensors_of
from frugalmtl.backbones.families import FAMILIES, Chain, Family
from frugalmtl.backbones.families.vision_transformer import SimplePyramid
from frugalmtl.backbones.general import General
from frugalmtl.core.checks import UserError, shown
from frugalmtl.core.types import Pyramid


class Timm(Backbone):
    """A timm model without its head: a chain of blocks, and the pyramid of its features from stride 4 on.

    Any model that timm gives features of. Each stage is what runs up to one of the features that the model's own
    ``feature_info`` names; a model that is no such chain is one stage of one block, and so has no blocks to skip or to
    stitch between. Either way the levels of the pyramid are the features that timm gives, which is checked bit for bit
    when the model is built (:class:`~frugalmtl.backbones.general.General`); docs/backbones.md shows a model of every
    family, and which encoders it fits.

    ResNets (and ResNeXts), EfficientNets, MobileNets V2 to V4, ConvNeXts and RegNets give the output of each stage from
    stride 4 on. HRNets give the four branches of the last stage as they are (``hrnet_w18``: 18, 36, 72 and 144
    channels), without the modules that widen them for classification. Swin Transformers give the output of each stage
    without a norm, and take images of any size: windows are padded; whether a stage shifts its windows stays as at the
    size of the pre-training. ``pyramid: "merged"`` gives their outputs after the merging of patches that follows, at
    strides 8, 16, 32 and 32. Vision Transformers have four stages of equally many blocks (our choice); class and
    register tokens are left out, and positions are resampled to the image, so that their state is a grid. Plain
    transformers of other families keep theirs.

    Images may have any size that is a multiple of ``size_divisor``. Models that timm builds for one size (MaxViT,
    Hiera, LeViT, ...) are built for that of the experiment, and take no other. Patches of 14 pixels lie at stride 16:
    the image is resized first (:class:`~frugalmtl.backbones.families._patches.PatchResize`).

    ``pyramid`` of Vision Transformers and other plain transformers: ``"simple"`` makes four levels of the last block
    (Li et al. 2022, see :class:`~frugalmtl.backbones.families.vision_transformer.SimplePyramid`); ``"stages"`` gives
    the four grids after each quarter of the blocks as they are, without the final norm, all at the stride of a patch,
    for the head ``dpt``.
    With 12 blocks these are blocks 3, 6, 9 and 12, which DPT reads too (Ranftl et al., ICCV 2021, section 4); with 24
    blocks they are 6, 12, 18 and 24, where DPT reads 5, 12, 18 and 24.

    ``output_stride`` of ResNets: stages that would go beyond it keep stride 1 and dilate instead. At 8, layer3 has
    dilation 2 and layer4 dilation 4, and the 3x3 convolution that lost its stride has half of that (1 and 2), as in
    Vandenhende et al., "Multi-Task Learning for Dense Prediction Tasks: A Survey" (TPAMI 2021).

    ``width`` of ResNets multiplies the channels of the four stages; the stem keeps its 64, which timm's constructor
    does not change.

    ``sizes`` builds a Swin or Vision Transformer of another size, to be trained from scratch: a tiny one for small
    images, or a smaller one to compare with. What is not set stays as the model has it.

    Args:
        image_size: height and width that the experiment trains and predicts at; None for the model's own, which only
            matters for models that take one size.
        model: name of a timm model, e.g. ``"resnet50"``. A tag behind a dot (``"resnet50.a1_in1k"``) decides which
            published weights are taken, and the normalisation that is expected of the image.
        weights: None for a random initialisation; ``"imagenet"`` for the weights that timm publishes for the model and
            tag, downloaded once into timm's cache; ``"package"`` for the ImageNet weights inside an installed package
            (``tf_efficientnet_lite0``, ``mobilenetv2_100``); or a local .safetensors or .pth file under timm's names.
        pretrained: the same as ``weights: imagenet``, in timm's word.
        output_stride: 8 or 16 for ResNets; None keeps 32.
        width: multiplier of a ResNet's stages; published weights fit 1 only.
        pyramid: levels of a plain transformer (``"simple"``, ``"stages"``) or a Swin Transformer (``"stages"``,
            ``"merged"``); None for the family's own pyramid, the first of these.
        sizes: of a Swin Transformer ``embed_dim``, ``depths``, ``num_heads`` (lists of four numbers, one per stage) and
            ``window_size``; of a Vision Transformer ``embed_dim``, ``depth``, ``num_heads`` and ``patch_size``.
            Published weights fit a model's own sizes only, so ``weights`` must be left out.

    Raises:
        UserError: unknown model, or one that cannot be built for ``image_size``; weights that are not there or do not
            fit; an output stride, width, pyramid or sizes that the model cannot have.
    """

    def __init__(
        self,
        image_size: tuple[int, int] | None = None,
        *,
        model: str,
        weights: str | None = None,
        pretrained: bool = False,
        output_stride: int | None = None,
        width: float = 1.0,
        pyramid: Literal["simple", "stages", "merged"] | None = None,
        sizes: dict[str, int | list[int]] | None = None,
    ) -> None:
        super().__init__()
        name = model.partition(".")[0]
        weights = word_of(weights, pretrained=pretrained)
        family = _family(name, image_size)
        options: dict[str, Any] = {"output_stride": output_stride, "pyramid": pyramid, "sizes": sizes}
        options["width"] = width if width != 1.0 else None
        chosen = {option: value for option, value in options.items() if value is not None}
        for option, value in chosen.items():
            if option not in family.options:
                raise UserError(f"{option} needs {_takers(option)}, but got {shown(value)} for {model!r}: leave it out")
        if sizes is not None and weights is not None:
            raise UserError(
                f"weights {shown(weights)} fit {model!r} at its own sizes only, but sizes {shown(sizes)} are set: "
                "leave out one of the two"
            )
        arguments = family.constructor(model, chosen)
        packaged = packaged_weights(name) if weights == "package" else None
        local = read_weights(Path(weights)) if weights is not None and weights not in ("package", WORD) else {}
        try:
            network = create_model(model, pretrained=False, **arguments)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:  # an unknown tag, or image size
            reason = (str(error).splitlines() or [type(error).__name__])[0]  # some errors have no words
            size = f" for images of {' x '.join(map(str, arguments['img_size']))}" if "img_size" in arguments else ""
            raise UserError(f"cannot build timm model {model!r}{size}: {reason}") from None
        chain = family.chain(network, chosen)
        expects = packaged or network.pretrained_cfg
        self.mean, self.std = _triple(expects, "mean"), _triple(expects, "std")
        if weights is not None:
            tensors = read_packaged_weights(name, network) if packaged else local
            tensors = tensors or read_published_weights(model, arguments.get("img_size"))
            needed = _names_of(network, chain)
            fill(
                network, family.renamed(tensors, network), needed, packaged.distribution if packaged else repr(weights)
            )
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in chain.stages)
        self.levels = tuple(chain.levels)
        self.pyramid_stages = tuple(sorted({stage for stage, _ in self.levels}))
        self.channel_axis = chain.channel_axis
        self.neck = chain.neck
        self.image_size, self.probe_size = chain.image_size, chain.probe_size
        self._probe(chain.strides)

    def pyramid(self, states: Mapping[int, State]) -> Pyramid:
        """``{stage: its state}`` -> levels ``[B, C_l, H/s_l, W/s_l]``."""
        tensors = [tensors_of(states[stage])[index] for stage, index in self.levels]
        if self.neck is not None:
            levels: Pyramid = self.neck(*tensors)
            return levels
        return [tensor.permute(0, 3, 1, 2) for tensor in tensors] if self.channel_axis == -1 else tensors

    def keep_levels(self, levels: Collection[int]) -> None:
        """The levels of a neck are computed apart."""
        if isinstance(self.neck, SimplePyramid):
            self.neck.keep_levels(levels)


def _family(name: str, image_size: tuple[int, int] | None) -> Family:
    families: list[Family] = [FAMILIES.build(family) for family in FAMILIES.names()]
    for family in families:
        if name in family.models():
            return family
    names = list_models()
    if name in names:
        return General(name, image_size)
    close = get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "docs/backbones.md names one of every family"
    raise UserError(f"unknown timm model {name!r}: {hint}")


def _takers(option: str) -> str:
    """The families that take an option, in words."""
    families: list[Family] = [FAMILIES.build(name) for name in FAMILIES.names()]
    return " or ".join(family.noun for family in families if option in family.options)


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
