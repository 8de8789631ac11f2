"""frugalmtl: efficient multi-task vision, every saved operation saved on the clock.

The names below are what most users need; they are loaded on first use, so that ``import frugalmtl`` is quick.
Everything else is
imported from its room: ``from frugalmtl.deploy import deploy``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugalmtl.core.checks import UserError
    from frugalmtl.deploy import DeployedModel
    from frugalmtl.experiment.axis import Sweep
    from frugalmtl.experiment.build import build
    from frugalmtl.experiment.comparison import compare
    from frugalmtl.experiment.config import Comparison, Experiment
    from frugalmtl.experiment.profiling import profile
    from frugalmtl.experiment.runs import Run
    from frugalmtl.experiment.sweep import sweep
    from frugalmtl.experiment.training import train_run
    from frugalmtl.model import MultiTaskModel
    from frugalmtl.tasks import Task

__version__ = "0.1.0"

_HOMES = {
    "Comparison": "frugalmtl.experiment.config",
    "DeployedModel": "frugalmtl.deploy",
    "Experiment": "frugalmtl.experiment.config",
    "MultiTaskModel": "frugalmtl.model",
    "Run": "frugalmtl.experiment.runs",
    "Sweep": "frugalmtl.experiment.axis",
    "Task": "frugalmtl.tasks",
    "UserError": "frugalmtl.core.checks",
    "build": "frugalmtl.experiment.build",
    "compare": "frugalmtl.experiment.comparison",
    "profile": "frugalmtl.experiment.profiling",
    "sweep": "frugalmtl.experiment.sweep",
    "train_run": "frugalmtl.experiment.training",
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
    "profile",
    "sweep",
    "train_run",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'frugalmtl' has no attribute {name!r}")
