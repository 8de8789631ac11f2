"""Tasks: channels, label rules, activation, loss, metrics, drawing. The only package that names tasks."""

from collections.abc import Collection, Mapping
from typing import Any

from frugalmtl.core.registry import Registry
from frugalmtl.tasks._sections import task_of_section
from frugalmtl.tasks.base import Task

TASKS = Registry("frugalmtl.tasks", "task")


def make_task(section: Mapping[str, Any], name: str | None = None, *, apart: Collection[str] = ()) -> Task:
    """Make a task from its section ``{kind: ..., option: value}``; see :func:`task_of_section`."""
    return task_of_section(TASKS, section, name, apart)


__all__ = ["TASKS", "Task", "make_task"]
