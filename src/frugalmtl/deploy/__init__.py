"""Trained model -> plain module that stores and computes only what inference needs."""

from frugalmtl.deploy.deployed import DeployedModel, deploy
from frugalmtl.deploy.surroundings import plan_encoder

__all__ = ["DeployedModel", "deploy", "plan_encoder"]
