"""frugalmtl: efficient multi-task vision, saved operations measured on the clock.

Measured, not promised: what InterroGate saves in multiply-adds it saves in time up to a factor of 0.95 to 1.13 on
HRNet-18 and 1.01 to 1.25 on ResNet-18 with tied gates, up to 1.29 with gates apart, on one CPU thread
(``benchmarks/interrogate_latency.md``).

The names below are what most users need; they are loaded on first use, so that ``import frugalmtl`` is quick.
Everything else is imported from its package: ``from frugalmtl.encoders import ENCODERS``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugalmtl.core.checks import UserError
    from frugalmtl.deployment import DeployedModel, deploy
    from frugalmtl.experiment.comparison.compare import compare
    from frugalmtl.experiment.comparison.sweep import sweep
    from frugalmtl.experiment.config.comparison import Comparison
    from frugalmtl.experiment.config.experiment import Experiment
    from frugalmtl.experiment.config.sweep import Sweep
    from frugalmtl.experiment.measure.profiling import profile
    from frugalmtl.experiment.runs.build import build
    from frugalmtl.experiment.runs.run import Run
    from frugalmtl.experiment.runs.training import train_run
    from frugalmtl.model import MultiTaskModel
    from frugalmtl.tasks import Task

__version__ = "0.1.0"

_HOMES = {
    "Comparison": "frugalmtl.experiment.config.comparison",
    "DeployedModel": "frugalmtl.deployment",
    "Experiment": "frugalmtl.experiment.config.experiment",
    "MultiTaskModel": "frugalmtl.model",
    "Run": "frugalmtl.experiment.runs.run",
    "Sweep": "frugalmtl.experiment.config.sweep",
    "Task": "frugalmtl.tasks",
    "UserError": "frugalmtl.core.checks",
    "build": "frugalmtl.experiment.runs.build",
    "compare": "frugalmtl.experiment.comparison.compare",
    "deploy": "frugalmtl.deployment",
    "profile": "frugalmtl.experiment.measure.profiling",
    "sweep": "frugalmtl.experiment.comparison.sweep",
    "train_run": "frugalmtl.experiment.runs.training",
}

__all__ = [
    "Comparison",
    "DeployedModel",
    "Experiment",
    "MultiTaskModel",
    "Run",
    "Sweep",
    "Task",
    "UserError",
    "__version__",
    "build",
    "compare",
    "deploy",
    "profile",
    "sweep",
    "train_run",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'frugalmtl' has no attribute {name!r}")
