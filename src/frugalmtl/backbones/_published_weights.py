"""Weights that timm publishes for its models, through timm's own loader, cache and hashes."""

from __future__ import annotations

from typing import Any

import timm
from timm.models import set_pretrained_check_hash
from torch import Tensor

from frugalmtl.core.checks import UserError, shown

WORD = "imagenet"
"""What stands for them in a config, whatever data set a tag was trained on."""
_FILE = "model.safetensors"
"""Name of the weights in timm's repositories."""


def word_of(weights: str | None, *, pretrained: bool) -> str | None:
    """The option ``weights`` where ``pretrained``, timm's word for the published ones, may stand beside it.

    Raises:
        UserError: both are set, to different weights.
    """
    if pretrained and weights not in (None, WORD):
        raise UserError(f"pretrained: true means weights: {WORD}, but weights {shown(weights)} are set: leave out one")
    return WORD if pretrained else weights


def read_published_weights(model: str, image_size: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """The published weights of a timm model, by timm's names.

    Downloaded once, by ``timm.create_model(model, pretrained=True)``, into the cache of the Hugging Face client
    (``HF_HOME``) or of torch (``TORCH_HOME``); read without executing code in the file.

    Args:
        model: its name, with a tag or without (``"resnet50"``, ``"resnet50.a1_in1k"``).
        image_size: height and width that the model is built for, where it is built for one: timm resamples what depends
            on it (embeddings of positions).

    Raises:
        UserError: there are none for the model or tag, or they are neither in the cache nor to be had.
    """
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        tagged = timm.list_pretrained(f"{model.partition('.')[0]}.*")
        choice = f"take one of {', '.join(tagged)}" if tagged else "leave weights out, or name a file"
        raise UserError(f"timm publishes no weights for {model!r}: {choice}")
    set_pretrained_check_hash(True)  # of files whose names hold one; timm's default trusts the transport
    size: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    try:
        network = timm.create_model(model, pretrained=True, **size)
    except Exception as error:  # clients of both caches raise many kinds; offline, or a file that is not what it was
        reason = (str(error).splitlines() or [""])[0].strip(" .")[:120] or type(error).__name__
        place = f"{config.hf_hub_filename or _FILE} of the Hugging Face repository {config.hf_hub_id}"
        raise UserError(
            f"weights {WORD!r} of {model!r} are not in timm's cache and could not be fetched ({reason}): fetch "
            f"{place if config.hf_hub_id else config.url} where there is a network, and name the file, weights: PATH"
        ) from error
    return dict(network.state_dict())
