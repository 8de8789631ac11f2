"""Sets of optimisers that act as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError


class OptimizerSet(torch.optim.Optimizer):
    """Optimisers of disjoint parameters that take every step together.

    To the loss scaler, to clipping and to the strategy this is one optimiser: gradients are unscaled and checked once,
    the norm is that of all parameters, the scale is updated once a step, and an overflow anywhere skips the step of
    all members (ours: with an optimiser each, the others would step on).

    Args:
        members: the optimisers; ``param_groups`` are theirs, the same objects in the same order.

    Attributes:
        found_inf: scalar on the device of the parameters, or None: where it is 1, the next step moves nothing, and the
            host need not know. Only for members that :attr:`skips_on_device`.

    Raises:
        ValueError: no member, or a parameter in two of them.
    """

    def __init__(self, members: Sequence[torch.optim.Optimizer]) -> None:
        self.members = list(members)
        self.found_inf: Tensor | None = None
        for member in self.members:
            _begin_momenta(member)
        super().__init__([group for member in self.members for group in member.param_groups], {})

    def step(self, closure: Any = None) -> Any:
        """One step of every member.

        Args:
            closure: must be None: a closure would run once for every member.
        """
        if closure is not None:
            raise TypeError("a set of optimisers takes no closure")
        for member in self.members:
            if self.found_inf is None:
                member.step()
                continue
            member.found_inf = self.found_inf  # type: ignore[attr-defined]  # read by torch's fused optimisers
            try:
                member.step()
            finally:
                del member.found_inf  # type: ignore[attr-defined]

    @property
    def skips_on_device(self) -> bool:
        """Whether every member has a kernel that reads :attr:`found_inf`."""
        supported = all(getattr(member, "_step_supports_amp_scaling", False) for member in self.members)
        return supported and all(group.get("fused") for group in self.param_groups)

    def state_dict(self) -> dict[str, Any]:
        """The only member's state, as torch gives it; of several, ``{"members": [state, ...]}``."""
        states = [member.state_dict() for member in self.members]
        return states[0] if len(states) == 1 else {"members": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state of :meth:`state_dict`; the kernels stay those of these optimisers and their device.

        Raises:
            UserError: it is the state of another number of optimisers.
        """
        states = state_dict.get("members", [state_dict])
        if len(states) != len(self.members):
            raise UserError(f"it was saved with {len(states)} optimisers, but this stage has {len(self.members)}")
        for member, state in zip(self.members, states, strict=True):
            member.load_state_dict(_with_kernels_of(member, state))
            _begin_momenta(member)
        self.param_groups = [group for member in self.members for group in member.param_groups]  # torch made new ones


def _begin_momenta(optimizer: torch.optim.Optimizer) -> None:
    """Momenta of 0 for the fused SGD of torch 2.15, which fails where some parameters have had no gradient yet."""
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        if group["fused"] and group["momentum"] and not group["dampening"]:
            for parameter in group["params"]:
                if optimizer.state[parameter].get("momentum_buffer") is None:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _with_kernels_of(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """A saved state whose groups are updated by an optimiser's kernels, not by those of the device it was saved on."""
    pairs = [*zip(state["param_groups"], optimizer.param_groups, strict=False)]
    groups = [{**saved, **{key: group[key] for key in ("fused", "foreach") if key in group}} for saved, group in pairs]
    return {**state, "param_groups": [*groups, *state["param_groups"][len(groups) :]]}  # torch compares the lengths
