"""Table of the families of timm: a small model of each as a backbone, deployed, exported and shown to every encoder.

python docs/backbones.py --results backbones.json --out docs/backbones.md

Weights are random and nothing is downloaded. Results are kept in a file as they come, so that the script may be stopped
and started again; ``--minutes`` stops it by itself.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.general.getter import Intermediates
from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import read_json
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.files import write_text
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import DeployedModel, deploy
from frugalmtl.encoders import ENCODERS, views_of
from frugalmtl.export import EXPORTERS
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation

SIZES = ((64, 96), (64, 64), None)
"""Image sizes to build for, in order; None for the model's own."""
CHOOSY = {name: ENCODERS.fact(name, "views") for name in ENCODERS.names() if ENCODERS.fact(name, "views")}
"""Encoders that need more of a backbone than features, and what."""


@dataclass
class Family:
    """What was seen of one family.

    Attributes:
        model: the smallest model of the family, by parameters.
        millions: its parameters.
        refused: why it is no backbone; None if it is one.
        form: a chain of blocks, or one block; empty where it is no backbone, or not tried.
        strides: of the pyramid.
        image_size: "any", the experiment's alone, perhaps a square one, or the only one.
        deployed: "yes" if hard sharing deploys to outputs equal within 1e-4; else the first line of the error.
        onnx: the file was written and gives equal outputs; else why not; None if not tried.
        lacking: why an encoder refuses it.
    """

    model: str
    millions: float
    refused: str | None = None
    form: str = ""
    strides: list[int] = field(default_factory=list)
    image_size: str = "any"
    deployed: str = ""
    onnx: str | None = None
    lacking: dict[str, str] = field(default_factory=dict)


def smallest(module: str) -> tuple[str, float]:
    """The model of a family with the fewest parameters, and how many millions."""
    sizes: list[tuple[int, str]] = []
    for name in timm.list_models(module=module):
        with torch.device("meta"):
            sizes.append((sum(p.numel() for p in timm.create_model(name).parameters()), name))
    count, name = min(sizes)
    return name, count / 1e6


def build(model: str) -> tuple[Backbone, str]:
    """The model as a backbone, and the image sizes that it takes.

    Raises:
        UserError: it cannot be one.
    """
    for size in SIZES:
        try:
            torch.manual_seed(0)
            backbone = Timm(size, model=model)
        except UserError:
            if size is None:
                raise
            continue
        if backbone.image_size is None:
            return backbone, "any"
        if size is None:
            return backbone, "{} x {}".format(*backbone.image_size)
        return backbone, "the experiment's" if size[0] != size[1] else "the experiment's, square"
    raise AssertionError("the last size is tried without a net")


def network(encoder: str, backbone: Backbone) -> MultiTaskModel:
    """Two tasks on a backbone, with weights that are no longer those of the initialisation."""
    first = segmentation(classes=("wall", "floor"))
    tasks = [first, replace(first, name="second", channels=1)]
    branches = ENCODERS.build(encoder, backbone, [task.name for task in tasks])
    head = {"name": "independent", "head": {"name": "hrnet", "width": 16}}
    model = MultiTaskModel(branches, DECODERS.build(head, branches.channels, branches.strides, tasks), tasks)
    scramble(model)
    return model.eval()


@torch.no_grad()
def scramble(module: nn.Module) -> None:
    """Change all parameters a little, and the statistics of normalisation; in place."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, _BatchNorm) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.normal_(0.0, 0.1, generator=generator)
            part.running_var.uniform_(0.7, 1.3, generator=generator)
    for parameter in module.parameters():
        spread = parameter.std(correction=0) + 0.05
        parameter.add_(0.02 * spread * torch.randn(parameter.shape, generator=generator))


def deployed(encoder: str, backbone: Backbone) -> DeployedModel:
    """The deployed network, which :func:`frugalmtl.deployment.deploy` compared with the trained one.

    Raises:
        RuntimeError: their outputs differ.
    """
    return deploy(network(encoder, backbone))


def exported(model: DeployedModel, backbone: Backbone) -> str:
    """Write an ONNX file at a fixed size, which the exporter compares with the module; returns "yes" or why not."""
    size = backbone.image_size or backbone.probe_size
    with tempfile.TemporaryDirectory() as folder:
        try:
            EXPORTERS.build({"name": "onnx", "batch": 1})(model, Path(folder) / "model.onnx", size)
        except (UserError, RuntimeError) as error:
            return first_line(error)
    return "yes"


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def examined(module: str, known: tuple[str, float] | None, *, onnx: bool) -> Family:
    """All facts of a family."""
    model, millions = known or smallest(module)
    facts = Family(model, millions)
    try:
        backbone, facts.image_size = build(model)
    except UserError as refusal:
        facts.refused = first_line(refusal)
        return facts
    backbone.eval()
    whole = any(isinstance(part, Intermediates) for part in backbone.modules())
    facts.form = "one block" if whole else f"chain, {len(backbone.blocks)} blocks"
    facts.strides = backbone.strides
    refusals = views_of(backbone)
    for encoder, views in CHOOSY.items():
        reasons = [reason for view in views if (reason := refusals[view]) is not None]
        facts.lacking |= {encoder: reasons[0]} if reasons else {}
    try:
        plain = deployed("hard_sharing", backbone)
    except Exception as error:  # a defect of any kind is a row of the table, too
        facts.deployed = f"{type(error).__name__}: {first_line(error)}"
        return facts
    facts.deployed = "yes"
    facts.onnx = exported(plain, backbone) if onnx else None
    return facts


def table(families: dict[str, Family]) -> str:
    """The page."""
    good = [name for name, facts in families.items() if facts.form]
    equal = [name for name in good if families[name].deployed == "yes"]
    tried = [name for name in equal if families[name].onnx is not None]
    files = [name for name in tried if families[name].onnx == "yes"]
    columns = " | ".join(f"`{encoder}`" for encoder in CHOOSY)
    fitting = "; ".join(f"{takers(encoder, families)} fit `{encoder}`" for encoder in CHOOSY)
    lines = [
        "# Backbones of timm",
        "",
        f"timm {timm.__version__} has {len(timm.list_models())} models in {len(families)} families (modules of",
        "`timm.models`). The smallest model of each, with random weights, was built as a backbone, deployed, exported:",
        "",
        f"- {len(good)} of {len(families)} families build, with timm's features (bit for bit, or as their file says);",
        f"- {len(equal)} deploy to equal outputs (1e-4), with hard sharing;",
        *(
            [f"- {len(files)} of {len(tried)} become ONNX files of a fixed size, equal in onnxruntime;"]
            if tried
            else []
        ),
        f"- {fitting}; all other encoders take all that build, and so do decoders (tested on five unlike families).",
        "",
        "*Form*: a chain is cut where the model's own feature information says; one block is a network that is no",
        "such chain, so that none of its blocks can be skipped, and cross-stitch has a single unit, behind it. *Image",
        "size*: any multiple of the largest stride; or that of the experiment, which the network is built for, so that",
        "it takes no other; or the model's own. Made by `docs/backbones.py`; other models of a family may differ.",
        "",
        f"| family | model | M | form | strides | image size | deploys | ONNX | {columns} |",
        "| --- | --- | ---: | --- | --- | --- | :---: | :---: |" + " :---: |" * len(CHOOSY),
    ]
    notes: list[str] = []
    for name, facts in families.items():
        lines.append(f"| {name} | {facts.model} | {facts.millions:.1f} | " + " | ".join(cells(facts)) + " |")
        notes += [] if facts.form else [f"- {name}: {facts.refused or 'not tried yet'}."]
        notes += [f"- {name}, deployed: {facts.deployed}."] if facts.deployed not in ("", "yes") else []
        notes += [f"- {name}, ONNX: {facts.onnx}."] if facts.onnx not in (None, "yes") else []
    return "\n".join([*lines, "", "What is not there, and why:", "", *(notes or ["- nothing."]), ""])


def takers(encoder: str, families: dict[str, Family]) -> int:
    """How many families fit an encoder."""
    return sum(bool(facts.form) and encoder not in facts.lacking for facts in families.values())


def cells(facts: Family) -> list[str]:
    """Of a row, behind the number of parameters."""
    if not facts.form:
        return ["no" if facts.refused else "not tried", "", "", "", "", *("" for _ in CHOOSY)]
    onnx = {None: "", "yes": "yes"}.get(facts.onnx, "no")
    strides = ", ".join(map(str, facts.strides))
    fits = ["" if encoder in facts.lacking else "yes" for encoder in CHOOSY]
    return [facts.form, strides, facts.image_size, "yes" if facts.deployed == "yes" else "no", onnx, *fits]


def main() -> None:
    """Examine what is not yet in the file of results, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="JSON file of results, read and written")
    parser.add_argument("--out", type=Path, help="the page, written when all families are there")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    parser.add_argument("--without-onnx", action="store_true", help="try no ONNX files")
    arguments = parser.parse_args()
    stored: dict[str, Any] = (
        read_json(arguments.results, "results", remedy="delete it") if arguments.results.exists() else {}
    )
    start = time.monotonic()
    small_first = sorted(timm.list_modules(), key=lambda module: stored.get(module, {}).get("millions", 0.0))
    for module in small_first:
        entry = stored.get(module, {})
        seen = "deployed" in entry and (arguments.without_onnx or entry["onnx"] is not None or entry["refused"])
        if seen or time.monotonic() - start > 60 * arguments.minutes:
            continue
        chosen = (entry["model"], entry["millions"]) if entry else None
        stored[module] = asdict(examined(module, chosen, onnx=not arguments.without_onnx))
        write_text(arguments.results, json_text(stored))
        print(module, stored[module], flush=True)
        gc.collect()
    if arguments.out is not None:
        write_text(arguments.out, table({module: Family(**stored[module]) for module in timm.list_modules()}))


if __name__ == "__main__":
    main()
