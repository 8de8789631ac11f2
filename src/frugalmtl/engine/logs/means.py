"""Means over the steps of an epoch: losses, weights, statistics, and whatever else a step reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from frugalmtl.core.distributed import average
from frugalmtl.engine.step import StepReport


class Means:
    """Sums and counts by kind and name; a step may lack any of them (a task that it was not for).

    Args:
        sums: ``{"kind/name": sum}`` of an interrupted epoch.
        counts: ``{"kind/name": number of steps}``.
    """

    def __init__(self, sums: Mapping[str, Tensor] | None = None, counts: Mapping[str, int] | None = None) -> None:
        self._sums = dict(sums or {})
        self._counts = {key: int(count) for key, count in (counts or {}).items()}

    def add(self, kind: str, values: Mapping[str, Tensor | float]) -> None:
        """Count the values of one step; nothing waits for the device."""
        for name, value in values.items():
            key, term = f"{kind}/{name}", torch.as_tensor(value).detach()
            if key in self._sums:
                term = term + self._sums[key].to(term.device)
            self._sums[key] = term
            self._counts[key] = self._counts.get(key, 0) + 1

    def by_kind(self, device: torch.device) -> dict[str, dict[str, float]]:
        """``{kind: {name: mean}}`` over the steps and, on several processes, over these.

        Args:
            device: where processes exchange numbers.
        """
        kind = torch.float32 if device.type == "mps" else torch.float64
        values = [float(total) / self._counts[key] for key, total in self._sums.items()]
        means = average(torch.tensor(values, dtype=kind, device=device)).tolist()
        result: dict[str, dict[str, float]] = {"parts": {}}
        for key, mean in zip(self._sums, means, strict=True):
            group, _, name = key.partition("/")
            result.setdefault(group, {})[name] = mean
        return result

    def state(self) -> dict[str, Any]:
        """The arguments of the constructor, for a checkpoint."""
        return {"sums": {key: total.cpu() for key, total in self._sums.items()}, "counts": dict(self._counts)}


def count_report(means: Means, report: StepReport) -> None:
    """Count the report of one step: losses, the model's statistics, the balancer's weights, gradients where compared.

    A statistic counts in the steps that gave it. ``conflicts`` is the share of the compared steps in which two tasks'
    gradients pointed against each other.
    """
    balance = report.balance
    means.add("parts", report.parts)
    means.add("statistics", report.statistics)
    means.add("weights", balance.weights)
    means.add("norms", balance.norms)
    means.add("cosines", balance.cosines)
    means.add("conflicts", {pair: (torch.as_tensor(cosine) < 0).float() for pair, cosine in balance.cosines.items()})


def step_record(report: StepReport) -> dict[str, Any]:
    """The report of one step as plain values for the log; kinds without values are left out."""
    values: dict[str, Mapping[str, Tensor | float]] = {
        "losses": report.parts,
        "penalties": report.penalties,
        "statistics": report.statistics,
        "weights": report.balance.weights,
        "norms": report.balance.norms,
        "cosines": report.balance.cosines,
    }
    record: dict[str, Any] = {
        kind: {name: float(value) for name, value in by_name.items()} for kind, by_name in values.items() if by_name
    }
    if report.gradient_norm is not None:
        record["gradient_norm"] = float(report.gradient_norm)
    return record
