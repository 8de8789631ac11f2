"""Trained model -> plain module that stores and computes only what inference needs."""

from frugalmtl.deployment.captured import CapturedModel, CapturedPass, device_named, require_capturable
from frugalmtl.deployment.deployed import deploy, deployable
from frugalmtl.deployment.model import DeployedModel
from frugalmtl.deployment.planning import plan_encoder
from frugalmtl.deployment.timing import Stopwatch, deployed_with

__all__ = [
    "CapturedModel",
    "CapturedPass",
    "DeployedModel",
    "Stopwatch",
    "deploy",
    "deployable",
    "deployed_with",
    "device_named",
    "plan_encoder",
    "require_capturable",
]
