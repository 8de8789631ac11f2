"""Trained model -> plain module that stores and computes only what inference needs."""

from frugalmtl.deployment.deployed import DeployedModel, deploy, deployable
from frugalmtl.deployment.planning import plan_encoder
from frugalmtl.deployment.timing import stopwatch

__all__ = ["DeployedModel", "deploy", "deployable", "plan_encoder", "stopwatch"]
