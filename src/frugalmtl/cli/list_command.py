"""``frugalmtl list [ROOM [NAME]]``."""

from __future__ import annotations

import argparse
import inspect

from rich.console import Console
from rich.table import Table

from frugalmtl.cli._arguments import CommandParser, command_parser
from frugalmtl.core.checks import known
from frugalmtl.experiment.config.registries import ROOMS


def parser() -> CommandParser:
    """Arguments of the command."""
    parser = command_parser("list")
    parser.add_argument("room", nargs="?", default=None, help="show one room only")
    parser.add_argument("name", nargs="?", default=None, help="show one member with its arguments and documentation")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Print the members of the rooms."""
    console = Console()
    if arguments.room is not None:
        known("room", arguments.room, ROOMS)
    if arguments.name is not None:
        _print_member(console, arguments.room, arguments.name)
        return
    for room, registry in ROOMS.items():
        if arguments.room in {None, room}:
            table = Table(
                title=room, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False
            )
            for name in registry.names():
                table.add_row(f"  [cyan]{name}[/cyan]", registry.describe(name))
            console.print(table)


def _print_member(console: Console, room: str, name: str) -> None:
    registry = ROOMS[room]
    member = registry.get(name)
    console.print(f"[bold]{room}/{name}[/bold]")
    for key, parameter in registry.schema(name).items():
        default = "required" if parameter.default is parameter.empty else f"default {parameter.default!r}"
        console.print(f"  [cyan]{key}[/cyan]: {parameter.annotation} ({default})", highlight=False)
    console.print()
    console.print(inspect.getdoc(member) or "", markup=False, highlight=False)
