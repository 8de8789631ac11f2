"""Swin Transformers (Liu et al., 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models.swin_transformer import PatchMerging, SwinTransformerStage
from torch import nn

from frugalmtl.backbones.families._sizes import SwinSizes, require_whole_heads
from frugalmtl.backbones.families.base import Chain, Family
from frugalmtl.core.checks import known


class SwinTransformer(Family):
    """The output of each stage without a norm, for images of any size.

    Windows are padded. Whether a stage shifts its windows stays as at the size of the pre-training. The pyramid
    ``"stages"`` gives the outputs of the four stages (strides 4, 8, 16, 32); ``"merged"`` gives them after the merging
    of patches that follows (strides 8, 16, 32, 32; the widths of the next stage), as AdaMTL reads them.
    """

    module, noun = "swin_transformer", "a Swin Transformer"
    arguments = {"strict_img_size": False}  # noqa: RUF012  # a ClassVar of the base
    options = ("pyramid", "sizes")
    sizes = SwinSizes
    channel_axis = -1
    tiny = "swin_tiny_patch4_window7_224"
    tiny_arguments = {"embed_dim": 16, "depths": (1, 2, 2, 2), "num_heads": (1, 2, 4, 8)}  # noqa: RUF012

    def check_sizes(self, what: str, chosen: Mapping[str, Any], model: Any) -> None:
        """Heads that divide the width of their stage.

        Raises:
            UserError: they do not.
        """
        heads = [stage.blocks[0].attn.num_heads for stage in model.layers]
        width = chosen.get("embed_dim", model.embed_dim)
        require_whole_heads(what, [width * 2**stage for stage in range(len(heads))], chosen.get("num_heads", heads))

    def parts(self, module: nn.Module) -> list[tuple[str, nn.Module]] | None:
        """A stage is its downsampling and its blocks."""
        if isinstance(module, SwinTransformerStage):
            return [("downsample", module.downsample), ("blocks", module.blocks)]
        return super().parts(module)

    def chain(self, network: nn.Module, options: Mapping[str, Any]) -> Chain:
        """Stages that begin, or with the pyramid ``"merged"`` end, with the merging of patches.

        Raises:
            UserError: an unknown pyramid.
        """
        pyramid = known("pyramid", options.get("pyramid", "stages"), ("stages", "merged"))
        chain = super().chain(network, options)
        if pyramid == "merged":
            for stage, following in zip(chain.stages, chain.stages[1:], strict=False):
                if isinstance(following[0], PatchMerging):
                    stage.append(following.pop(0))
        return chain
