"""A training whose method looks at its data when a stage ends, on as many processes as torchrun starts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.engine import loop
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.runs.training import train_run
from tests.support.members.adding import add_members


def main(folder: Path) -> None:
    """Train in ``folder/run``; every process writes what its method has measured to ``folder/RANK.json``."""
    add_members(pytest.MonkeyPatch())
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), os.environ.get("RANK", "0")
    train = {"epochs": 2, "batch_size": 4, "workers": 0, "devices": world, "evaluate_every": 1}
    content: dict[str, Any] = {
        "data": {"name": "sealed", "log": str(folder / "loads.txt"), "sealed": True},
        "backbone": {"name": "cifar_resnet", "depth": 8},
        "encoder": {"name": "toy_groups", "keep": "best"},
        "decoder": {"name": "independent", "head": "linear"},
        "train": {**train, **({"strategy": "ddp_find_unused_parameters_true"} if world > 1 else {})},
    }
    models: list[Any] = []
    begin = loop.TrainLoop.run

    def watched(self: loop.TrainLoop) -> loop.TrainResult:
        models.append(self.model)
        return begin(self)

    loop.TrainLoop.run = watched  # type: ignore[method-assign]
    train_run(parse(Experiment, content), folder / "run", progress=False)
    (folder / f"{rank}.json").write_text(json.dumps(models[0].encoder.measured))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
