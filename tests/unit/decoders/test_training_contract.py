"""Parameter groups, penalties and auxiliary losses of a decoder, on a toy that keeps the tasks' projections apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.core.recipe import ParameterGroup, Stage, Turn
from frugalmtl.core.types import Auxiliary, Predictions
from frugalmtl.decoders import Decoder
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.engine.parameter_groups import build_optimizer
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import (
    DEFAULTS,
    Interrupted,
    Pyramids,
    TinyLoader,
    build_balancer,
    build_batch,
    build_model,
    stop_after,
    weights_of,
)


class Orthogonal(Decoder):
    """Heads on projections that are driven apart, with an auxiliary output for edges by another loss."""

    def __init__(self, model: MultiTaskModel, weight: float = 0.5) -> None:
        super().__init__()
        names = [task.name for task in model.tasks]
        self.project = nn.ModuleDict({name: nn.Conv2d(4, 4, 1) for name in names})
        self.heads = nn.ModuleDict({task.name: nn.Conv2d(4, task.channels, 1) for task in model.tasks})
        self.outline = nn.Conv2d(4, 1, 1)
        self.weight = weight

    def groups(self) -> tuple[ParameterGroup, ...]:
        return (ParameterGroup("decoder.project.*", 100.0, 0.0),)

    def penalties(self) -> Mapping[str, float]:
        return {"overlap": self.weight}

    def forward(self, features: Pyramids, size: tuple[int, int]) -> Predictions:
        projected: dict[str, Tensor] = {name: self.project[name](features[name][0]) for name in self.heads}
        vectors = [F.normalize(self.project[name].weight.flatten(), dim=0) for name in self.heads]
        overlap = torch.stack([(one * other).sum() ** 2 for one in vectors for other in vectors if one is not other])
        outline = Auxiliary({"edges": self.outline(projected["edges"])}, {"name": "bce"}, 0.1)
        final = {name: head(projected[name]) for name, head in self.heads.items()}
        return Predictions(final, {"outline": outline}, penalties={"overlap": overlap.mean()})


def toy(encoder: str = "shared", weight: float = 0.5) -> MultiTaskModel:
    model = build_model(encoder)
    torch.manual_seed(3)
    return MultiTaskModel(model.encoder, Orthogonal(model, weight), model.tasks)


def trained(folder: Path, weight: float = 0.5, **how: object) -> MultiTaskModel:
    model = toy(weight=weight)
    settings = TrainSettings(**DEFAULTS, checkpoint_every=2)
    train(TrainJob(model, build_balancer(), settings, {"train": TinyLoader()}, folder), **how)  # type: ignore[arg-type]
    return model


def test_a_stage_has_what_encoder_and_decoder_bring() -> None:
    first, second, _ = toy("gated").recipe()
    assert [group.pattern for group in first.groups] == ["decoder.project.*"]
    assert [group.pattern for group in second.groups] == ["encoder.units", "encoder.*", "decoder.project.*"]
    assert (first.penalties, second.penalties) == ({"overlap": 0.5}, {"size": 0.1, "overlap": 0.5})


def test_turns_that_state_penalties_have_the_decoders_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy()
    stage = Stage(turns=(Turn("plain"), Turn("sparse", penalties={"size": 0.2})))
    monkeypatch.setattr(model.encoder, "recipe", lambda: (stage,))
    plain, sparse = model.recipe()[0].turns
    assert (plain.penalties, sparse.penalties) == (None, {"size": 0.2, "overlap": 0.5})


def test_one_penalty_of_two_owners_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy()
    monkeypatch.setattr(model.encoder, "recipe", lambda: (Stage(penalties={"overlap": 1.0}),))
    with pytest.raises(ValueError, match="both have a penalty called 'overlap'"):
        model.recipe()


def test_its_parameters_have_a_rate_of_their_own() -> None:
    model = toy()
    settings = TrainSettings(optimizer={"name": "sgd", "lr": 0.01, "weight_decay": 0.1})
    groups = build_optimizer(model, build_balancer(), model.recipe()[0], settings).param_groups
    rates = {
        id(parameter): (group["base_lr"], group["weight_decay"]) for group in groups for parameter in group["params"]
    }
    assert {rates[id(parameter)] for parameter in model.decoder.project.parameters()} == {(1.0, 0.0)}
    assert {rates[id(parameter)] for parameter in model.decoder.heads.parameters()} == {(0.01, 0.1)}


def test_the_penalty_acts_and_the_auxiliary_output_learns(tmp_path: Path) -> None:
    def overlap(model: MultiTaskModel) -> float:
        with torch.no_grad():
            return float(model(build_batch(0).image).penalties["overlap"])

    before = toy()
    with_penalty, without = trained(tmp_path / "with"), trained(tmp_path / "without", weight=0.0)
    assert overlap(with_penalty) < overlap(without)
    assert not torch.equal(with_penalty.decoder.outline.weight, before.decoder.outline.weight)


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    with pytest.raises(Interrupted):
        trained(tmp_path / "parts", on_step=stop_after(5))
    parts = trained(tmp_path / "parts")
    for name, value in weights_of(whole, build_balancer()).items():
        torch.testing.assert_close(weights_of(parts, build_balancer())[name], value, rtol=0, atol=0)


def test_it_penalises_also_where_no_task_is_wanted() -> None:
    model = toy()
    assert model.encoded_tasks(()) is None
    assert set(model(build_batch(0).image, tasks=()).penalties) == {"overlap"}
