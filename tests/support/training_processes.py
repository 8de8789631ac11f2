"""Short trainings on as many processes as torchrun starts; each process writes its weights."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from frugalmtl.core.recipe import HOLDOUT
from frugalmtl.core.types import Scores
from frugalmtl.engine import TrainJob, TrainSettings, make_fabric, train
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import DEFAULTS, Scored, TinyLoader, build_balancer, build_batch, build_model, tasks
from tests.support.toys.turning import TURNING, turning_model


def main(folder: Path, encoder: str, balancers: list[Any], stop: int, more: dict[str, Any]) -> None:
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    common = {"epochs": 3, "checkpoint_every": 2, "accumulate": 2, "clip_norm": 1.0, "evaluate_every": 1}
    strategy = "ddp_find_unused_parameters_true" if world > 1 else "auto"
    settings = TrainSettings(**{**DEFAULTS, **common, **more}, devices=world, strategy=strategy)
    fabric = make_fabric(settings)
    loaders = {
        name: TinyLoader(5, 4 // world, rank=rank, world=world, holes=False, first=first)
        for name, first in (("train", 0), ("validation", 100), ("weights", 200), ("policy", 300), ("most", 400))
    }

    def interrupt(step: int) -> None:
        if step == stop:
            sys.exit(0)

    for index, section in enumerate(balancers):
        kind = TURNING.get(encoder)
        model = turning_model(kind, norm=False, dropout=0.0) if kind else build_model(encoder, norm=False, dropout=0.0)
        balancer = build_balancer(section)
        balancer.attach(model)
        here = folder / str(index)
        job = TrainJob(model, balancer, settings, loaders, here, measures=Scored(scores, {HOLDOUT: [build_batch(500)]}))
        train(job, fabric=fabric, on_step=interrupt)
        learned = {**model.state_dict(), **{f"balancer.{name}": value for name, value in balancer.state_dict().items()}}
        save_file({name: value.contiguous() for name, value in learned.items()}, here / f"{rank}.safetensors")


def scores(model: MultiTaskModel) -> Scores:
    """Scores that depend on nothing, for balancers that read some."""
    return {task.name: {task.primary: 0.2 + 0.1 * index} for index, task in enumerate(tasks())}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]), json.loads(sys.argv[5]))
