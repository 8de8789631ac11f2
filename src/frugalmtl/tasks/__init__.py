"""Tasks: channels, label rules, activation, loss, metrics, drawing. The only package that names tasks."""

from frugalmtl.core.registry import Registry
from frugalmtl.tasks.base import Task

TASKS = Registry("frugalmtl.tasks", "task")

__all__ = ["TASKS", "Task"]
