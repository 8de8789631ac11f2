"""One training step, taken by :func:`take_step` alone: in trainings, dry runs, timings, benchmarks and tests."""

from frugalmtl.engine.step.finite import DivergenceError, FiniteCheck, require_finite
from frugalmtl.engine.step.setup import StepReport, StepSetup
from frugalmtl.engine.step.take import take_step

__all__ = ["DivergenceError", "FiniteCheck", "StepReport", "StepSetup", "require_finite", "take_step"]
