"""Views of a backbone that encoders name as their needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.views import require_residual, require_stages, require_tokens
from frugalmtl.channels import graph_of
from frugalmtl.core.checks import UserError

BACKBONE_VIEWS: Mapping[str, Callable[[Backbone], object]] = MappingProxyType(
    {"channels": graph_of, "residual": require_residual, "stages": require_stages, "tokens": require_tokens}
)
"""Functions that refuse a backbone without the view, by the words of :attr:`~frugalmtl.encoders.Encoder.views`.

* ``channels``: all that a backbone does is known channel by channel (:func:`~frugalmtl.channels.graph_of`);
* ``residual``: blocks are known as shortcut and branch (:func:`~frugalmtl.backbones.views.residual_of`);
* ``stages``: every stage gives one map, of two blocks or more (:func:`~frugalmtl.backbones.views.require_stages`);
* ``tokens``: blocks are known as attention and MLP on tokens (:func:`~frugalmtl.backbones.views.tokens_of`).
"""


def views_of(backbone: Backbone) -> dict[str, str | None]:
    """``{view: why the backbone does not offer it}``; None for those that it offers."""
    return {view: _refusal(require, backbone) for view, require in BACKBONE_VIEWS.items()}


def _refusal(require: Callable[[Backbone], object], backbone: Backbone) -> str | None:
    try:
        require(backbone)
    except UserError as refusal:
        return str(refusal)
    return None
