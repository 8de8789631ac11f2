"""``frugalmtl times --config FILE --out TABLE``."""

from __future__ import annotations

import argparse
from typing import get_args

from frugalmtl.cli._arguments import ConfigParser
from frugalmtl.core.checks import positive
from frugalmtl.core.files import write_text
from frugalmtl.core.terminal import visible, waiting
from frugalmtl.experiment.config.experiment import Experiment


def parser() -> ConfigParser:
    """Arguments of the command."""
    from frugalmtl.channels.times.machine import NumberFormat, Runtime

    parser = ConfigParser("times", Experiment)
    parser.add_argument("--out", required=True, help="file of the table (JSON), for an encoder's layer_times")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where layers run")
    parser.add_argument("--dtype", choices=get_args(NumberFormat), default="float32", help="number format")
    parser.add_argument("--runtime", choices=get_args(Runtime), default="eager", help="who runs them")
    parser.add_argument("--batch", type=int, default=1, help="images at a time")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: torch's)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Time the layers of the config's backbone with all and some of their channels, and write the table."""
    import torch

    from frugalmtl.channels.times import Machine
    from frugalmtl.experiment.measure.layer_times import layer_times

    if arguments.threads is not None:
        torch.set_num_threads(int(positive("threads", arguments.threads)))
    machine = Machine.here(arguments.device, arguments.dtype, arguments.runtime)
    with waiting("timing layers"):
        table = layer_times(arguments.settings, machine, arguments.batch)
    write_text(arguments.out, table.to_json())
    print(visible(f"{arguments.out}: {len(table.timings)} layers, batch {table.batch}; {machine}"))
