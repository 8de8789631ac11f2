"""Trained model -> plain module that stores and computes only what inference needs."""

from frugalmtl.deploy.deployed import DeployedModel, deploy

__all__ = ["DeployedModel", "deploy"]
