"""Tensors with several names are stored once, and every name is filled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.engine.checkpoints import Checkpoints, load_matching_weights, load_weights, step_name
from frugalmtl.engine.checkpoints.tensors import parse_tensors, tensor_bytes
from tests.support.checkpoint_files import replace_file


class Tied(nn.Module):
    """Two layers with one weight, an empty tensor, and a view of another tensor."""

    def __init__(self, *, tied: bool = True) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(40, 40), nn.Linear(40, 40)
        if tied:
            self.second.weight = self.first.weight
        self.register_buffer("whole", torch.arange(6.0))
        self.register_buffer("part", self.whole[:3])
        self.register_buffer("nothing", torch.zeros(0))
        self.register_buffer("nothing_else", torch.zeros(0))


def write(folder: Path, module: nn.Module) -> Path:
    return Checkpoints(folder).write(step_name(1), module, nn.Identity(), {})


def test_a_shared_tensor_is_stored_once() -> None:
    tied, apart = tensor_bytes(Tied()), tensor_bytes(Tied(tied=False))
    assert set(load(apart)) - set(load(tied)) == {"second.weight"}
    assert len(apart) - len(tied) > 40 * 40 * 4 - 200
    assert set(parse_tensors(Path("model"), tied)) == set(Tied().state_dict())


def test_it_comes_back_shared(tmp_path: Path) -> None:
    before, after = Tied(), Tied()
    folder = write(tmp_path, before)
    load_weights(after, folder)
    assert after.second.weight is after.first.weight
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in after.state_dict().items())
    apart = Tied(tied=False)
    load_weights(apart, folder)
    assert torch.equal(apart.second.weight, before.first.weight)
    assert load_matching_weights(Tied(), folder) == "8 of 8 tensors taken"


def test_checkpoints_that_hold_it_several_times_still_load(tmp_path: Path) -> None:
    before, after = Tied(), Tied()
    folder = write(tmp_path, before)
    replace_file(
        folder, "model.safetensors", save({name: value.clone() for name, value in before.state_dict().items()})
    )
    load_weights(after, folder)
    assert after.second.weight is after.first.weight
    assert torch.equal(after.first.weight, before.first.weight)


@pytest.mark.parametrize("shared", [json.dumps({"second.weight": "third.weight"}), json.dumps(["second.weight"]), "{"])
def test_names_of_no_tensor_are_damage(shared: str, tmp_path: Path) -> None:
    folder = write(tmp_path, Tied())
    tensors = load((folder / "model.safetensors").read_bytes())
    replace_file(folder, "model.safetensors", save(tensors, metadata={"shared": shared}))
    with pytest.raises(UserError, match="is damaged"):
        load_weights(Tied(), folder)
