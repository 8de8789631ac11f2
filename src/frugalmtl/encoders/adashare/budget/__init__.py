"""Budget of AdaShare's deployed model: policies that keep it."""

from frugalmtl.encoders.adashare.budget.fitting import Fit, Fitting, Mask, Odds
from frugalmtl.encoders.adashare.budget.goal import Goal, Measure

__all__ = ["Fit", "Fitting", "Goal", "Mask", "Measure", "Odds"]
