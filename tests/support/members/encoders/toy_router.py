"""Toy: a network whose residual blocks run or not, image by image."""

from tests.support.toys.toy_router import ToyRouter

__all__ = ["ToyRouter"]
