"""Optimisers of ``torch.optim``, with their signatures as config schemas."""

from __future__ import annotations

import functools
import inspect
import re
import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

from frugalmtl.core.checks import UserError, fraction, positive

Groups = list[dict[str, Any]]
"""Parameter groups as torch takes them: ``"params"``, and ``"weight_decay"`` where it differs."""

DEFAULTS: dict[str, dict[str, float]] = {
    "adam": {"lr": 1e-4, "weight_decay": 1e-4},
    "adamw": {"lr": 1e-4},
    "sgd": {"lr": 1e-3, "weight_decay": 1e-4, "momentum": 0.9},
}
"""Defaults that differ from torch's: Adam as in the survey on NYUD, SGD as in its cross-stitch networks (Vandenhende et
al., 2021)."""
ABSENT = {
    "LBFGS": "evaluates the loss several times in a step",
    "SparseAdam": "takes sparse gradients only",
    "Muon": "takes matrices only",
}
"""Classes of ``torch.optim`` that cannot take the one step of all parameters, and the reason."""
FUSED = ("adam", "adamw", "sgd")
"""Optimisers that update all parameters in one kernel where the device has it, unless ``fused`` or ``foreach`` says
otherwise: with the 162 tensors of an EfficientNet-Lite0, Adam then takes a third of the time on a CPU. Results differ
from the others' in the last bits."""
EXPLAINED = {
    "foreach": "update the parameters in groups, a kernel for each operation; null leaves it to torch",
    "fused": f"update all parameters in one kernel; null does so in {', '.join(FUSED)} where the device has one",
}
"""Options whose default acts otherwise here than torch's documentation says."""
HIDDEN = ("maximize", "capturable", "differentiable")
"""Arguments that no training here can use: losses are minimised, by steps that nothing goes back through."""


def torch_optimizers() -> dict[str, Callable[..., torch.optim.Optimizer]]:
    """``{lower-case name: function (groups, *, options) -> optimiser}`` for the classes of ``torch.optim``."""
    classes = [item for item in vars(torch.optim).values() if inspect.isclass(item)]
    return {
        item.__name__.lower(): _member(item)
        for item in classes
        if issubclass(item, torch.optim.Optimizer) and item is not torch.optim.Optimizer and item.__name__ not in ABSENT
    }


def _member(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """A function that makes optimisers of a class, and shows the options of its constructor as keyword-only ones."""
    defaults, hints = DEFAULTS.get(kind.__name__.lower(), {}), get_type_hints(kind.__init__)
    options = [
        item.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(item.name, item.default),
            annotation=_without_tensors(hints[item.name]),
        )
        for item in [*inspect.signature(kind).parameters.values()][1:]
        if item.name not in HIDDEN
    ]

    def make(groups: Groups, **arguments: Any) -> torch.optim.Optimizer:
        arguments = defaults | arguments
        _check(arguments)
        if kind.__name__.lower() in FUSED and arguments.get("fused") is None and not arguments.get("foreach"):
            # The first momentum of a parameter is its whole gradient, which 0 before it gives without dampening alone.
            arguments["fused"] = (not arguments.get("dampening") and _fusible(groups)) or None
        return kind(groups, **arguments)

    groups = inspect.Parameter("groups", inspect.Parameter.POSITIONAL_ONLY, annotation=Groups)
    make.__name__ = make.__qualname__ = kind.__name__
    make.__doc__ = _documentation(kind, [item.name for item in options])
    make.__annotations__ = {item.name: item.annotation for item in (groups, *options)}
    make.__signature__ = inspect.Signature([groups, *options])  # type: ignore[attr-defined]  # read by inspect
    return make


def _check(arguments: dict[str, Any]) -> None:
    """Refuse what torch would take: a rate of 0, a negative decay, a momentum that grows."""
    if "lr" in arguments:
        positive("lr", arguments["lr"])
    if not arguments.get("weight_decay", 0.0) >= 0:
        raise UserError(f"weight_decay must be 0 or more, but got {arguments['weight_decay']!r}")
    if "momentum" in arguments:
        fraction("momentum", arguments["momentum"])


def _fusible(groups: Groups) -> bool:
    """Whether torch has a kernel for all the parameters."""
    devices = _get_fused_kernels_supported_devices()
    parameters = [parameter for group in groups for parameter in group["params"]]
    return all(parameter.device.type in devices and parameter.is_floating_point() for parameter in parameters)


def _without_tensors(kind: Any) -> Any:
    """A type without the tensors that some options may be: ``float | Tensor`` becomes ``float``."""
    if get_origin(kind) in (Union, types.UnionType):
        return functools.reduce(lambda one, other: one | other, [item for item in get_args(kind) if item is not Tensor])
    if get_origin(kind) is tuple:
        return types.GenericAlias(tuple, tuple(_without_tensors(item) for item in get_args(kind)))
    return kind


def _documentation(kind: type, names: list[str]) -> str:
    """The first sentence of torch on each option, in the form of the docstrings here."""
    text = inspect.getdoc(kind) or ""
    lines = [f"{kind.__name__} of ``torch.optim``.", "", "Args:"]
    for name in names:
        if name in EXPLAINED:
            lines.append(f"    {name}: {EXPLAINED[name]}.")
            continue
        pattern = rf"^\s*{name} \([^)]*\):\s+(.+?)(\.\s|\n\s*\n|\n\s*\w+ \(|\Z)"
        described = re.search(pattern, text, re.DOTALL | re.MULTILINE)
        sentence = (
            re.sub(r"`([^`<]+)`_", r"\1", " ".join(described[1].split())) if described else "see torch's documentation"
        )
        lines.append(f"    {name}: {re.sub(r' ?[(]default: .*[)]$', '', sentence).rstrip('.')}.")
    return "\n".join(lines)
