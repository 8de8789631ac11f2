"""Names that a user chooses and that become parts of paths or names of modules."""

from __future__ import annotations

import re

from frugalmtl.core.checks import UserError, shown
from frugalmtl.core.terminal import visible

LONGEST = 100
"""Characters of a name; ours come before and after it, and file systems allow 255 bytes."""
_BYTES = 180
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", flags=re.IGNORECASE)
"""Names of devices on Windows, with any ending."""


def path_part(what: str, name: str) -> str:
    """Return a name if it can be the name of a file or folder, or a part of it, and leads nowhere else.

    Args:
        what: what is called so, in the message.
        name: the name.

    Raises:
        UserError: it is empty or too long, holds ``/``, a backslash or a character that is not printed, begins with a
            dot, dash or blank, ends with a dot or blank, or is the name of a device on Windows.
    """
    reason = _unfit(name)
    if reason:
        raise UserError(f"{what} {shown(name)} cannot name a file or folder: it {reason}; choose another name")
    return name


def _unfit(name: str) -> str:
    if not name:
        return "is empty"
    if len(name) > LONGEST or len(name.encode("utf-8", "surrogatepass")) > _BYTES:
        return f"has {len(name)} characters, and at most {LONGEST} are possible ({_BYTES} bytes)"
    if "/" in name or "\\" in name:
        return "holds a slash or backslash"
    if visible(name) != name:
        return "holds a character that is not printed"
    if name[0] in ".-" or name[0].isspace():
        return "begins with a dot, a dash or a blank"
    if name[-1] == "." or name[-1].isspace():
        return "ends with a dot or a blank"
    return "is the name of a device on Windows" if _RESERVED.fullmatch(name) else ""


def task_name(name: str) -> str:
    """Return a name if modules of torch and files can be called so.

    Raises:
        UserError: they cannot.
    """
    from torch import nn  # here, since configs that are only looked at need no torch

    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name) or hasattr(nn.ModuleDict(), name):
        raise UserError(
            f"{shown(name)} cannot be the name of a task: take letters, digits, '_' and '-', and no name that modules "
            "of torch use themselves"
        )
    return path_part("task", name)
