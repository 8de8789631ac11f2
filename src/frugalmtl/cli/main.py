"""The command ``frugalmtl``: one of its commands is run, and a user's mistake printed as one line."""

from __future__ import annotations

import importlib
import os
import sys
from argparse import ArgumentError
from collections.abc import Sequence

from frugalmtl import __version__
from frugalmtl.core.checks import UserError
from frugalmtl.core.terminal import tolerant_output, visible

COMMANDS = {
    "train": "train one experiment",
    "compare": "train several experiments, evaluate, deploy, measure and report them side by side",
    "sweep": "train a whole accuracy/cost curve beside fixed rows, by several processes if wanted, and report it",
    "evaluate": "score a trained run on a split",
    "deploy": "turn a trained run into a plain module and write it to a file",
    "profile": "measure what a config or a trained run costs",
    "times": "time the layers of a backbone on this machine, for prices of channels in time",
    "predict": "run a trained network on photographs and write overlays",
    "data": "prepare, check or look at a dataset",
    "report": "show the results of a comparison or a sweep, or write their table as CSV, Markdown or LaTeX",
    "list": "show the members of every registry, their options and documentation",
    "schema": "print the JSON Schema of config files, from which editors complete",
}
MISTAKE = 2


def usage() -> str:
    """What ``frugalmtl --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, line in COMMANDS.items()]
    return "\n".join(
        [
            "usage: frugalmtl COMMAND [arguments]     (frugalmtl COMMAND --help tells more)",
            "",
            "Efficient multi-task vision: one network, many tasks, saved operations measured on the clock.",
            "",
            *lines,
        ]
    )


def wait_passively() -> None:
    """Let OpenMP's threads give their core back while they wait, unless the user has said how they shall.

    The runtimes let them wait actively, and beside another busy process a training then stands still for most of its
    time. Read when torch is loaded, so it is set before, and processes that are started later inherit it. ``import
    frugalmtl`` leaves the environment alone.
    """
    if not any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 the user's mistake (one line on stderr), 130 interrupted."""
    wait_passively()
    arguments = list(sys.argv[1:] if argv is None else argv)
    tolerant_output()
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(usage())
        return 0 if arguments else MISTAKE
    if arguments[0] in {"-V", "--version"}:
        print(f"frugalmtl {__version__}")
        return 0
    try:
        if arguments[0] not in COMMANDS:
            from frugalmtl.core.checks import known

            known("command", arguments[0], COMMANDS)
        command = importlib.import_module(f"frugalmtl.cli.commands.{arguments[0]}")
        parser = command.parser()
        command.run(parser.parse_args(arguments[1:]))
    except (UserError, ArgumentError) as error:
        print(f"frugalmtl: error: {visible(' '.join(str(error).split()))}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("frugalmtl: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`frugalmtl list | head`); leave quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0
