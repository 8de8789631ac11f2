"""``frugalmtl deploy RUN``."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from frugalmtl.cli._arguments import ConfigParser, add_budget, open_run
from frugalmtl.core.checks import UserError
from frugalmtl.core.terminal import visible, waiting
from frugalmtl.export import EXPORTERS

if TYPE_CHECKING:
    from frugalmtl.export import Exported

SHORT = {
    "batch": ("N", "take N images at a time (default: any number)"),
    "size": ("HEIGHTxWIDTH", "image size, such as 480x640 (default: that of the training)"),
    "dynamic_size": ("", "take any multiple of --size-divisor as height and width (onnx)"),
    "size_divisor": ("N", "see --dynamic-size (default: 32)"),
    "tolerance": ("X", "largest difference between the outputs of the file and the network's (default: the format's)"),
}
"""Options of the formats, each a flag of its own with dashes: what it takes (nothing: yes or no), and its help."""
_SIZE = re.compile(r"\s*(\d+)\s*[x×,]\s*(\d+)\s*")


@dataclass
class Request:
    """A file to write.

    Attributes:
        format: the format of the file: onnx, torch_export or safetensors ('frugalmtl list export').
    """

    format: Annotated[dict[str, Any], EXPORTERS] = field(default_factory=lambda: {"name": "torch_export"})


class DeployParser(ConfigParser):
    """The command's parser: options of the format have flags of their own, wherever ``--format`` stands."""

    def __init__(self) -> None:
        super().__init__("deploy", Request, files=False)
        self.add_argument("run", help="folder of a trained run")
        self.add_argument(
            "--decoded",
            action="store_true",
            help="take RGB bytes [N, height, width, 3] and give what they mean: indices of classes, metres, unit "
            "vectors, probabilities (default: normalised floats [N, 3, height, width] and raw values)",
        )
        for name, (takes, text) in SHORT.items():
            value: dict[str, Any] = {"metavar": takes} if takes else {"action": argparse.BooleanOptionalAction}
            self.add_argument(f"--{name.replace('_', '-')}", dest=f"option_{name}", default=None, help=text, **value)
        self.add_argument("--tasks", default=None, help="deploy these alone, with commas between them (default: all)")
        add_budget(self)
        self.add_argument("--out", default=None, help="file to write (default: deployed/ in the run)")

    def read(self, content: dict[str, Any], parsed: argparse.Namespace) -> Any:
        """The request of the flags.

        Raises:
            UserError: an unknown option, or a value that does not fit.
        """
        texts = {name: getattr(parsed, f"option_{name}") for name in SHORT}
        short = [(f"format.{name}", _text(name, text)) for name, text in texts.items() if text is not None]
        parsed.flags = [*(parsed.flags or []), *short]
        return super().read(content, parsed)


def _text(name: str, text: str | bool) -> str:
    if isinstance(text, bool):
        return str(text).lower()
    if name != "size":
        return text
    size = _SIZE.fullmatch(text)
    if size is None:
        raise UserError(f"--size is HEIGHTxWIDTH, such as 480x640, but got {visible(text)!r}")
    return f"[{size[1]}, {size[2]}]"


def parser() -> DeployParser:
    """Arguments of the command."""
    return DeployParser()


def run(arguments: argparse.Namespace) -> None:
    """Deploy, write, and say how large the difference to the training model's outputs is."""
    section = arguments.settings.format
    EXPORTERS.check(section)
    from frugalmtl.deployment import deployable

    opened = open_run(arguments)
    tasks = None if arguments.tasks is None else [name.strip() for name in arguments.tasks.split(",") if name.strip()]
    out = Path(arguments.out) if arguments.out else None
    with waiting("deploying, writing and comparing"):
        written = opened.export(section, out, tasks, decoded=arguments.decoded)
    size, difference = written.bytes / 1e6, written.max_abs_difference
    budget = "" if opened.point is None else f" at a budget of {opened.point}"
    if budget and tasks is not None and set(tasks) < set(deployable(opened.network().tasks, None)):
        alone = visible(", ".join(tasks))
        words = f"note: the budget {opened.point} was calibrated for all tasks together; for {alone} alone less is run"
        print(words, file=sys.stderr)
    print(f"{visible(written.path)}{budget}: {size:.2f} MB, largest difference to the deployed module {difference:.1e}")
    for line in _interface(written):
        print(f"  {line}")


def _interface(written: Exported) -> list[str]:
    """What the file takes and gives, and what lies beside it, in a line each."""
    from frugalmtl.export._sidecar import RECORDS, SCRIPT, changed_script

    takes, outputs = written.record["input"], written.record["outputs"]
    shape = " x ".join(map(str, takes["shape"]))
    rule = "values 0 to 255" if written.record["decoded"] else f"(pixels / 255 - {takes['mean']}) / {takes['std']}"
    lines = [f"takes {takes['name']}: {takes['dtype']} {takes['layout']} {shape}, {takes['colour_order']}, {rule}"]
    for name, output in outputs.items():
        shape = " x ".join(map(str, output["shape"]))
        lines.append(visible(f"gives {name}: {output['dtype']} {shape}, {output['gives']}"))
    folder = Path(written.path).parent
    if not (folder / SCRIPT).exists() or Path(written.path).suffix != ".onnx":
        return [*lines, f"described in {visible(folder / RECORDS)}"]
    trial = f"python {visible(folder / SCRIPT)} photo.jpg --model {visible(written.path)}"
    lines.append(f"described in {visible(folder / RECORDS)}; try it: {trial}")
    if changed_script(written):
        lines.append(f"note: {SCRIPT} there is not the one of this version and stays as it is: delete it for a new one")
    return lines
