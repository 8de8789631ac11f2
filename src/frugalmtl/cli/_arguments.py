"""Parsers that all commands build on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from frugalmtl.cli.main import COMMANDS
from frugalmtl.core.checks import UserError
from frugalmtl.core.schema import in_words, parameters
from frugalmtl.core.schema.docs import documentation, plain
from frugalmtl.experiment.config.files import parse, read_yaml
from frugalmtl.experiment.config.flags import change
from frugalmtl.experiment.config.kinds import require_kind

if TYPE_CHECKING:
    from frugalmtl.experiment.runs.run import Run


class CommandParser(argparse.ArgumentParser):
    """A parser that raises instead of exiting, so that every mistake is printed by one place."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            UserError: always.
        """
        raise UserError(f"{message} (see '{self.prog} --help')")


def command_parser(command: str, description: str | None = None) -> CommandParser:
    """The parser of a command; its description is the command's line in ``frugalmtl --help`` if none is stated."""
    text = description or f"{COMMANDS[command].capitalize()}."
    return CommandParser(prog=f"frugalmtl {command}", description=text, allow_abbrev=False)


class ConfigParser:
    """A command's parser whose ``--config`` files and flags make a typed config; later flags win, then earlier files.

    Every key of the config is a flag (``--train.epochs 3``), and so are the options of a section (``--encoder.own
    0.8``).
    """

    def __init__(self, command: str, kind: type, *, files: bool = True) -> None:
        self.kind = kind
        self.parser = command_parser(command)
        self.parser.set_defaults(config=[])
        if files:
            self.parser.add_argument("--config", action="append", metavar="FILE", help="YAML file; flags win")
        keys = self.parser.add_argument_group("keys of the config" if files else "settings")
        self.flags = dict(_flags(kind, ""))
        for flag, text in self.flags.items():
            keys.add_argument(
                flag, dest="flags", action=_Flag, metavar=flag.split(".")[-1].strip("-").upper(), help=text
            )

    def add_argument(self, *names: str, **options: Any) -> None:
        """One more argument, outside the config."""
        self.parser.add_argument(*names, **options)

    def parse_args(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; the typed config is kept as ``settings`` in the result.

        Raises:
            UserError: an unknown flag or key, or a value that does not fit.
        """
        self._add_inner_flags(arguments)
        parsed, unknown = self.parser.parse_known_args(list(arguments))
        if unknown:
            raise UserError(self._unknown(unknown))
        content: dict[str, Any] = {}
        for path in parsed.config:
            content.update(read_yaml(path))
        parsed.settings = self.read(content, parsed)
        return parsed

    def read(self, content: dict[str, Any], parsed: argparse.Namespace) -> Any:
        """The typed config of the files' content and the flags.

        Raises:
            UserError: an unknown key, or a value that does not fit.
        """
        if parsed.config:
            require_kind(self.kind, content, parsed.config[-1])
        for key, text in parsed.flags or []:
            change(self.kind, content, key, text)
        return parse(self.kind, content, parsed.config[-1] if parsed.config else "config")

    def _unknown(self, arguments: Sequence[str]) -> str:
        """What is wrong with arguments that nobody takes, and the flag that the first of them may stand for."""
        flag = arguments[0].partition("=")[0]
        leaf = flag.lstrip("-").split(".")[-1]
        inner = [item for item in self.flags if item.split(".")[-1].lstrip("-") == leaf]
        near = inner or get_close_matches(flag, self.flags, n=1, cutoff=0.75)
        hint = f"; did you mean {' or '.join(near)}?" if near and flag.startswith("-") else ""
        return f"unrecognized arguments: {' '.join(arguments)}{hint} (see '{self.parser.prog} --help')"

    def _add_inner_flags(self, arguments: Sequence[str]) -> None:
        """Let argparse know the flags of options inside sections, and those that add to a list."""
        for argument in arguments:
            flag = argument.partition("=")[0]
            if flag not in self.flags and flag.removesuffix("+").split(".")[0] in self.flags:
                self.parser.add_argument(flag, dest="flags", action=_Flag, help=argparse.SUPPRESS)
                self.flags[flag] = ""


class _Flag(argparse.Action):
    """Keeps key and text of a flag in the order of the command line."""

    def __call__(self, _: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Add one flag."""
        earlier = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, [*earlier, ((option_string or "").lstrip("-"), values)])


def _flags(kind: type, before: str) -> list[tuple[str, str]]:
    """Flag and help of every key of a typed config."""
    flags: list[tuple[str, str]] = []
    docs = documentation(kind).parameters
    for name, parameter in parameters(kind, positional=True).items():
        default = "required" if parameter.default is parameter.empty else f"default: {_shown(parameter.default)}"
        if is_dataclass(parameter.annotation):
            flags += [(f"--{before}{name}", plain(docs.get(name, "")).replace("%", "%%"))]
            flags += _flags(parameter.annotation, f"{before}{name}.")  # type: ignore[arg-type]  # a dataclass
        else:
            text = f"{plain(docs.get(name, ''))} ({in_words(parameter.annotation)}; {default})"
            flags.append((f"--{before}{name}", text.replace("%", "%%")))
    return flags


def _shown(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def add_budget(parser: CommandParser | ConfigParser) -> None:
    """The argument by which a command takes a run at one of its operating points."""
    parser.add_argument(
        "--budget",
        default=None,
        help="mean cost per image of a network that adapts to each image, one of the budgets that it was trained for, "
        "such as 0.2x of the single-task networks (default: as it was trained)",
    )


def open_run(arguments: argparse.Namespace) -> Run:
    """The run that ``run`` names, at the operating point that ``--budget`` names; nothing of its weights is loaded.

    Raises:
        UserError: no run, or no such budget.
    """
    from frugalmtl.experiment.runs.run import Run

    opened = Run.open(arguments.run)
    return opened if arguments.budget is None else opened.at(arguments.budget)


def interactive() -> bool:
    """Whether a person watches (progress bars) or a file or pipe does (plain lines)."""
    return sys.stderr.isatty()
