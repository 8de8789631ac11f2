"""Judging models: metrics, multi-task scores, what a model really costs."""
