"""``frugalmtl list [REGISTRY [MEMBER]]``."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from frugalmtl.cli._arguments import CommandParser, command_parser
from frugalmtl.core.registry import Registry
from frugalmtl.core.schema import in_words
from frugalmtl.core.schema.docs import documentation, plain, readable
from frugalmtl.core.terminal import output_console


def parser() -> CommandParser:
    """Arguments of the command."""
    parser = command_parser("list")
    parser.add_argument("registry", nargs="?", default=None, help="one registry, by its name or its key in a config")
    parser.add_argument("member", nargs="?", default=None, help="one member, with its options and documentation")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Print registries, their members, or the documentation of a member."""
    from frugalmtl.experiment.config.registries import LISTED, registry_of

    console = output_console(literal=True)
    if arguments.registry is None:
        for title, registry in LISTED.items():
            _print_members(console, title, registry)
    elif arguments.member is None:
        _print_members(console, arguments.registry, registry_of(arguments.registry))
    else:
        _print_member(console, registry_of(arguments.registry), arguments.member)


def _print_members(console: Console, title: str, registry: Registry) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    for name in registry.names():
        table.add_row(f"  {name}", plain(registry.describe(name)))
    console.print(table)


def _print_member(console: Console, registry: Registry, name: str) -> None:
    docs = documentation(registry.get(name))
    console.print(f"{registry.what} {name}", style="bold")
    for text in (docs.summary, docs.text):
        if text:
            # Lines are as long as they shall be: rich would break formulas and examples again.
            console.print(readable(text, min(console.width, 100)))
            console.print()
    for key, parameter in registry.schema(name).items():
        default = "required" if parameter.default is parameter.empty else f"default {parameter.default!r}"
        console.print(f"{key}: {in_words(parameter.annotation)} ({default})", style="cyan")
        if key in docs.parameters:
            text = readable(docs.parameters[key], min(console.width, 100) - 4)
            console.print("    " + text.replace("\n", "\n    "))
