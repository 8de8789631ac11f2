"""Turns under balancers that remember what the cut holds."""

from __future__ import annotations

import torch
from torch import Tensor

from frugalmtl.balancing import ForwardPass
from frugalmtl.balancing.aggregation.adversarial import Adversarial
from frugalmtl.core.types import Features
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import Heads, Shared, Wanted, build_batch, tasks

NAMES = tuple(task.name for task in tasks())


class Growing(Shared):
    """An encoder whose cut may begin with more tensors, which no task reads and the discriminator does not fit."""

    more = 0

    def encode(self, image: Tensor, tasks: Wanted = None) -> list[Tensor]:
        return [image] * self.more + super().encode(image, tasks)

    def branch(self, shared: list[Tensor], tasks: Wanted = None) -> Features:
        return super().branch(shared[self.more :], tasks)


def test_what_tasks_read_is_found_anew_in_every_turn() -> None:
    torch.manual_seed(3)
    encoder = Growing(NAMES, dropout=0.0)
    model, balancer = MultiTaskModel(encoder, Heads(4, tasks()), tasks()), Adversarial(tasks())
    balancer.attach(model)
    gradients: list[Tensor] = []
    for encoder.more in (0, 1):
        balancer.enter_turn()
        cut = balancer.cut()
        raw = model(build_batch(0).image, cut).by_task
        losses = {name: raw[name].square().mean() for name in NAMES}
        balancer.backward(ForwardPass(model, losses, None, cut, lambda loss: loss.backward(), 1.0, 1.0))
        gradients.append(
            torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
        )
        model.zero_grad(set_to_none=True)
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().sum() > 0
