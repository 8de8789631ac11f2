"""Exponential moving average of a model's weights, evaluated and kept in place of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.swa_utils import get_ema_multi_avg_fn

from frugalmtl.core.distributed import broadcast
from frugalmtl.model import MultiTaskModel


def decay_at(decay: float, steps: int) -> float:
    """Decay of the average after so many steps: ``min(decay, (1 + steps) / (10 + steps))``, as in TensorFlow and timm.

    The first steps weigh less than the last ones, so that a short training does not keep its beginning.

    >>> [round(decay_at(0.999, steps), 3) for steps in (1, 10, 1000, 100_000)]
    [0.182, 0.55, 0.991, 0.999]
    """
    return min(decay, (1 + steps) / (10 + steps))


class AverageWeights:
    r"""Average ``a`` of a model's weights ``w`` over the steps of a stage.

    After each step ``a <- d a + (1 - d) w`` with ``d`` of :func:`decay_at`; after the first one ``a = w``. Parameters
    and the running means and variances of normalisations are averaged, so that both are of the same networks. All else
    is that of the model: parameters in which its method decides what runs
    (:attr:`~frugalmtl.encoders.TrainingHooks.choices`), and all other buffers, whole numbers and truth values among
    them.

    The update is torch's. Its class ``AveragedModel`` holds a second model, whose method would have to be told of every
    stage and turn, and lets the host wait for the device in every step.

    Args:
        model: on its device.
        decay: d in the long run, in [0, 1).

    Attributes:
        steps: that are in the average.
    """

    def __init__(self, model: MultiTaskModel, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._places = _averaged(model)
        self._values = {name: tensor.clone() for name, tensor in self._weights().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Count the weights as they are after a step."""
        decay = decay_at(self.decay, self.steps) if self.steps else 0.0
        averages, weights = list(self._values.values()), list(self._weights().values())
        get_ema_multi_avg_fn(decay)(averages, weights, self.steps)  # type: ignore[no-untyped-call]  # as torch has it
        self.steps += 1

    @contextlib.contextmanager
    def in_place(self, model: MultiTaskModel) -> Iterator[None]:
        """The model has the averages in the block, on all processes those of the first, and its own weights after
        it."""
        before = {name: tensor.clone() for name, tensor in self._weights().items()}
        self.take_over(model)
        try:
            yield
        finally:
            model.load_state_dict({**model.state_dict(), **before})

    def take_over(self, model: MultiTaskModel) -> None:
        """Give the model the averages, on all processes those of the first."""
        if self.steps > 0:
            model.load_state_dict({**model.state_dict(), **self._values})
            broadcast(model.buffers())

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs, for a checkpoint."""
        return {"steps": self.steps, "values": {name: tensor.cpu().clone() for name, tensor in self._values.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave.

        Raises:
            ValueError, KeyError, TypeError, RuntimeError: it is something else.
        """
        for name, tensor in self._values.items():
            tensor.copy_(state["values"][name])
        self.steps = int(state["steps"])

    def _weights(self) -> dict[str, Tensor]:
        """The model's tensors as they are now, whatever replaced them since."""
        return {name: getattr(module, key).detach() for name, (module, key) in self._places.items()}


def _averaged(model: MultiTaskModel) -> dict[str, tuple[nn.Module, str]]:
    """The tensors of a model that are averaged: by name, the module that holds each, and its name there."""
    choices = [f"encoder.{pattern}" for pattern in model.encoder.choices]
    names = [name for name, _ in model.named_parameters() if not any(fnmatchcase(name, one) for one in choices)]
    for prefix, module in model.named_modules():
        if isinstance(module, _NormBase) and module.running_mean is not None:
            names += [f"{prefix}.running_mean", f"{prefix}.running_var"]
    split = {name: name.rpartition(".") for name in names}
    return {name: (model.get_submodule(place), key) for name, (place, _, key) in split.items()}
