"""A short training on as many processes as torchrun starts; each writes its weights."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from safetensors.torch import save_file

from frugalmtl.engine import TrainSettings, make_fabric, train
from tests.unit.engine.standins import DEFAULTS, TinyLoader, build_balancer, build_model, tasks


def main(folder: Path, encoder: str, balancer: str, stop: int) -> None:
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    settings = TrainSettings(
        **{**DEFAULTS, "epochs": 3, "checkpoint_every": 2, "accumulate": 2, "clip_norm": 1.0},
        devices=world,
        strategy="ddp_find_unused_parameters_true" if world > 1 else "auto",
    )
    model = build_model(encoder, norm=False, dropout=0.0)
    weights = build_balancer(json.loads(balancer))
    loader = TinyLoader(5, 4 // world, rank=rank, world=world, holes=False)

    def interrupt(step: int) -> None:
        if step == stop:
            sys.exit(0)

    fabric = make_fabric(settings)
    train(model, weights, tasks(), settings, loader, folder, fabric=fabric, on_step=interrupt)
    learned = {**model.state_dict(), **{f"balancer.{name}": value for name, value in weights.state_dict().items()}}
    save_file({name: value.contiguous() for name, value in learned.items()}, folder / f"{rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
