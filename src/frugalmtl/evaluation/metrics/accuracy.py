"""Share of right answers."""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from frugalmtl.evaluation.metrics.base import Score, check_shapes


class Accuracy(Score):
    """``accuracy``: share of right classes, or mean over attributes of the share of right yes/no answers.

    Class indices ``[B]``: right where equal. Attribute probabilities ``[B, K]``: "yes" where above 0.5; right answers
    are counted per attribute over its valid samples, and the K shares averaged (attributes without a label are left
    out), as in the CelebA tables of Bejnordi et al. 2024. In [0, 1]; NaN where nothing valid was seen. In a run on
    several processes each of them must have seen a batch, for K is learnt from the first one.

    Prediction and target ``[B]`` long or ``[B, K]`` float; valid of the same shape, bool.

    Raises:
        UserError: in ``update``, shapes that do not match.

    Example:
        >>> metric = Accuracy()
        >>> labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> metric.update(torch.tensor([[0.9, 0.2], [0.8, 0.6]]), labels, torch.ones(2, 2).bool())
        >>> metric.compute()["accuracy"].item()
        0.75
    """

    directions = MappingProxyType({"accuracy": True})
    units = MappingProxyType({"accuracy": ""})

    right: Tensor
    answers: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.zeros(1, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("answers", torch.zeros(1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Add one batch."""
        check_shapes("accuracy", prediction, target, valid)
        right = (prediction > 0.5) == (target > 0.5) if prediction.is_floating_point() else prediction == target
        columns = valid.shape[1] if valid.ndim > 1 else 1
        self.right = self.right + (right & valid).view(-1, columns).sum(0)
        self.answers = self.answers + valid.reshape(-1, columns).sum(0)

    def per_attribute(self) -> Tensor:
        """Accuracy of every attribute ``[K]``, NaN where it had no label; ``[1]`` for classes."""
        return self.right.double() / self.answers

    def compute(self) -> dict[str, Tensor]:
        """Score everything added so far."""
        return {"accuracy": self.per_attribute().nanmean()}
