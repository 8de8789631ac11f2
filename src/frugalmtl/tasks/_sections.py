"""A task from its section in a dataset file, an experiment or a run, under the name that its user gave it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.core.registry import Spec
from frugalmtl.core.terminal import visible
from frugalmtl.tasks import TASKS
from frugalmtl.tasks.base import Task

MOST_CLASSES = 65_536
"""Classes of a task: as many as a 16-bit label map can tell apart."""
_NAMES = ("classes", "parts")
"""Keys of a section that hold the names of classes."""


def make_task(section: Mapping[str, Any], name: str | None = None, *, apart: Collection[str] = ()) -> Task:
    """Make a task from its section ``{kind: ..., option: value}``.

    Names of classes are a list of texts; a number stands for as many classes without names of their own
    (``class 0``, ``class 1``, ...), and a mapping ``{0: floor, 1: wall}`` for the list in that order.

    Args:
        section: ``kind`` and its options.
        name: of the task; that of its kind if not given.
        apart: keys of the section that are the caller's own.

    Raises:
        UserError: the section does not fit; the message says which task and key.
    """
    arguments = dict(section)
    kind = arguments.pop("kind", None)
    if isinstance(kind, str):
        known(f"'kind' of {'a task' if name is None else f'task {name!r}'}:", kind, TASKS.names())
    _known_keys(section, name, apart)
    if not isinstance(kind, str):
        task = "a task" if name is None else f"task {name!r}"
        raise UserError(f"{task} lacks 'kind', one of {', '.join(TASKS.names())}: its section is {shown(section)}")
    arguments = {key: value for key, value in arguments.items() if key not in apart}
    what = f"task {name or kind!r}"
    for key in _NAMES:
        if key in arguments:
            arguments[key] = _class_names(f"{what}: {key}", arguments[key])
    if name is not None:
        arguments["name"] = name
    task = TASKS.build(Spec(kind, arguments), what=what)
    complete: Task = replace(task, section={key: value for key, value in task.section.items() if key != "name"})
    return complete


def _known_keys(section: Mapping[str, Any], name: str | None, apart: Collection[str]) -> None:
    """Refuse a key that is none of a task; while its kind is not stated, of no task at all.

    Raises:
        UserError: one is not known.
    """
    kind = section.get("kind")
    keys = {key for item in ([kind] if isinstance(kind, str) else TASKS.names()) for key in TASKS.schema(item)}
    if name is not None:
        keys.discard("name")  # it has one
    for key in section:
        known(f"key of {'a task' if name is None else f'task {name!r}'}:", str(key), {"kind", *keys, *apart})


def _class_names(what: str, value: Any) -> Any:
    """The names of classes; what is neither names nor a number is left to the type of the key."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value != value // 1 or not 1 <= value <= MOST_CLASSES:
            raise UserError(f"{what} must be names, or a number of classes up to {MOST_CLASSES}, but got {value!r}")
        return [f"class {index}" for index in range(int(value))]
    if isinstance(value, str):
        raise UserError(f"{what} must be a list of names, but got {shown(value)}: write [{value.strip('[]')}]")
    if isinstance(value, Mapping):
        numbers = list(range(len(value)))
        if sorted(value, key=str) != sorted(numbers, key=str):
            raise UserError(f"{what} must number its names from 0 without a gap, but got {shown(list(value))}")
        value = [value[number] for number in numbers]
    if not isinstance(value, list | tuple):
        return value
    if all(isinstance(name, int | float) and not isinstance(name, bool) for name in value) and value:
        quoted = ", ".join(f"'{name}'" for name in value[:3]) + ", ..." * (len(value) > 3)
        raise UserError(
            f"{what} must be texts, but got {shown(value)}: quote them ([{quoted}]), or write {len(value)} for as many "
            "classes without names"
        )
    unseen = [name for name in value if isinstance(name, str) and (not name or visible(name) != name)]
    if unseen:
        raise UserError(f"{what} holds {shown(unseen[0])}, which is not printed: give each class a name that is")
    repeated = [name for name, count in Counter(map(str, value)).items() if count > 1]
    if repeated:
        raise UserError(f"{what} holds {shown(repeated[0])} more than once: each class has a name of its own")
    return value
