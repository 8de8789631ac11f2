"""Tasks that a step learns from a batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def wanted_tasks(names: Sequence[str], *sources: Collection[str] | None) -> tuple[str, ...] | None:
    """The tasks that every source names, in order; None if these are all.

    Args:
        names: all tasks.
        sources: names of tasks, or None where a source leaves the choice to the others: those that a batch or a turn
            is for, those that a balancer has chosen.

    >>> wanted_tasks(("near", "far"), None, ("far",)), wanted_tasks(("near", "far"), ("far", "near"), None)
    (('far',), None)
    """
    limits = [source for source in sources if source is not None]
    wanted = tuple(name for name in names if all(name in limit for limit in limits))
    return None if len(wanted) == len(names) else wanted
