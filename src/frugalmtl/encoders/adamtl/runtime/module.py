"""Deployed AdaMTL: image -> pyramid of every task; blocks, windows and tokens that are off are not computed."""

from __future__ import annotations

from torch import Tensor, nn

from frugalmtl.core.types import Decisions, Pyramid
from frugalmtl.encoders._deciding import DecidingModule, with_same_tensors
from frugalmtl.encoders.adamtl.layout import token_halves
from frugalmtl.encoders.adamtl.parts import RuntimeParts
from frugalmtl.encoders.adamtl.runtime.block import RaggedBlock
from frugalmtl.encoders.adamtl.runtime.choices import PolicyChoices
from frugalmtl.encoders.adamtl.runtime.executor import Enter, Executor
from frugalmtl.encoders.adamtl.runtime.policies import DeployedPolicies


class AdaMTLRuntime(DecidingModule):
    """Deployed form of AdaMTL, by the rules of :class:`~frugalmtl.encoders.adamtl.layout.RuntimeParts`.

    Args:
        parts: of the trained encoder; they are taken over, not copied.
    """

    def __init__(self, parts: RuntimeParts) -> None:
        super().__init__()
        self.network, self.tasks = parts.network, parts.tasks
        self.points, self.rules = tuple(parts.rules), dict(parts.rules)
        self.policies = DeployedPolicies(parts.policies, parts.stages)
        names = [name for stage in parts.stages for name in stage.blocks]
        blocks = {name: RaggedBlock(token_halves(self.network, name)) for name in names}
        self.executor = Executor(self.network, parts.stages, blocks, parts.execution)

    def forward(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``; see :class:`DecidingModule`."""
        if decisions is not None:
            return self._pyramids(image, self.executor.planned(decisions, image))
        return self._pyramids(
            image, PolicyChoices(self.policies, self.executor.blocks, self.policies.keys(image)).enter
        )

    def margins(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Tensor]:
        """See :class:`DecidingModule`; of tokens whose block is off, the negative distance of its margin from 0."""
        margins: dict[str, Tensor] = {}
        keys = self.policies.keys(image)
        self.executor.states(image, PolicyChoices(self.policies, self.executor.blocks, keys, decisions, margins).enter)
        return margins

    def settle(self, point: str) -> None:
        """Choose as calibrated for a point; in place."""
        self.policies.settle(self.rules[point])
        self.points, self.rules = (), {}

    def fixed(self, decisions: Decisions, image: Tensor) -> FixedRuntime:
        """The same under constant decisions.

        Args:
            decisions: what runs of each image of a batch.
            image: a batch of the size, on the device and in the number format of those that will come.
        """
        module = with_same_tensors(self)
        module.data_dependent = False  # the plan has decided
        return FixedRuntime(module, module.executor.planned(decisions, image))

    def _pyramids(self, image: Tensor, enter: Enter) -> dict[str, Pyramid]:
        return dict.fromkeys(self.tasks, self.network.pyramid(self.executor.states(image, enter)))


class FixedRuntime(nn.Module):
    """Deployed AdaMTL under constant decisions: the host waits for nothing, so that a CUDA graph can hold it.

    Args:
        runtime: the module.
        plan: what is computed.
    """

    def __init__(self, runtime: AdaMTLRuntime, plan: Enter) -> None:
        super().__init__()
        self.runtime, self.plan = runtime, plan

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` of the batch size and image size of the plan -> ``{task: pyramid}``."""
        return self.runtime._pyramids(image, self.plan)
