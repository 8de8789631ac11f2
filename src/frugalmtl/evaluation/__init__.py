"""Evaluation: metrics, scores over tasks, measured cost."""

from frugalmtl.evaluation.evaluator import evaluate
from frugalmtl.evaluation.infer import infer
from frugalmtl.evaluation.metrics import METRICS, Score

__all__ = ["METRICS", "Score", "evaluate", "infer"]
