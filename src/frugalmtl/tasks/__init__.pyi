import frugalmtl.core.registry

from ._sections import make_task as make_task
from .base import Task as Task

TASKS: frugalmtl.core.registry.Registry
