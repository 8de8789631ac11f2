"""Parsers that all commands build on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from frugalmtl.cli.main import COMMANDS
from frugalmtl.experiment.config.experiment import check_keys, free_fields, read_yaml

Config = TypeVar("Config")


def command_parser(command: str, description: str | None = None) -> ArgumentParser:
    """A parser that raises instead of exiting, so that every mistake is printed by one place."""
    return ArgumentParser(
        prog=f"frugalmtl {command}",
        description=description or f"{COMMANDS[command.split()[0]].capitalize()}.",
        exit_on_error=False,
    )


class ConfigParser:
    """A command's parser whose flags and ``--config`` file make a typed config."""

    def __init__(self, command: str, kind: type) -> None:
        self.kind = kind
        self.parser = command_parser(command)
        self.parser.add_argument("--config", action=ActionConfigFile, help="YAML file; flags override it")
        self.parser.add_class_arguments(kind)

    def add_argument(self, *names: str, **options: Any) -> None:
        """One more argument, outside the config."""
        self.parser.add_argument(*names, **options)

    def parse_args(self, arguments: Sequence[str]) -> Namespace:
        """Parse; unknown keys of config files are refused with the accepted ones.

        The typed config is kept as ``made`` in the result.
        """
        content: dict[str, Any] = {}
        for path in _config_paths(arguments):
            content.update(read_yaml(path))
            check_keys(self.kind, {**_placeholders(self.kind), **content}, str(path))
        parsed = self.parser.parse_args(list(arguments))
        values = vars(self.parser.instantiate(parsed))
        flags = {argument.lstrip("-").split("=")[0].split(".")[0].rstrip("+") for argument in arguments}
        as_written = {key: content[key] for key in free_fields(self.kind) if key in content and key not in flags}
        parsed.made = self.kind(**{item.name: values[item.name] for item in fields(self.kind)} | as_written)
        return parsed


def _config_paths(arguments: Sequence[str]) -> list[Path]:
    paths = [Path(value) for flag, value in pairwise(arguments) if flag == "--config"]
    return paths + [Path(item.split("=", 1)[1]) for item in arguments if item.startswith("--config=")]


def _placeholders(kind: type) -> dict[str, Any]:
    # A file may leave out what flags give; whether everything required is there is the parser's business.
    return {item.name: None for item in fields(kind)}


def interactive() -> bool:
    """Whether a person watches (progress bars) or a file or pipe does (plain lines)."""
    return sys.stderr.isatty()
