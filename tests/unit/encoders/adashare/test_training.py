"""AdaShare trained for a few steps: turns, selection, structure, retraining from the first weights, going on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from frugalmtl.balancing import BALANCERS
from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import parse_json
from frugalmtl.core.types import Batch, Scores
from frugalmtl.deployment import plan_encoder
from frugalmtl.encoders.adashare.encoder import AdaShare
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import Interrupted, TinyLoader, stop_after
from tests.support.views.adashare import SIDE, toy_model

SETTINGS: dict[str, Any] = {"curriculum_speed": 1, "warmup_share": 0.125, "search_share": 0.75, "budget": "0.6x"}
EPOCHS = 8
"""One of warm-up, six of search (six cycles, as many as blocks), one of retraining; an epoch has four steps."""
CYCLE = ["weights", "weights", "policy", "policy"]


class Loader(TinyLoader):
    """Batches at a size that a backbone takes."""

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        for batch in super().epoch(index, start):
            batch.image = functional.interpolate(batch.image, SIDE)
            batch.targets = {name: resized(value) for name, value in batch.targets.items()}
            batch.valid = {name: resized(value) for name, value in batch.valid.items()}
            yield batch


def resized(label: Tensor) -> Tensor:
    rows = torch.arange(SIDE[0]) * label.shape[-1] // SIDE[0]
    return label[..., rows, :][..., rows]


class Scoring:
    """Scores by the number of blocks that the second task runs, so that the best policy is known."""

    def __init__(self) -> None:
        self.policies: list[np.ndarray[Any, Any]] = []

    def evaluate(self, model: MultiTaskModel) -> Scores:
        return {"depth": {"rmse": 1.0}}

    def batches(self, stream: str) -> Iterable[Batch]:
        raise AssertionError("nothing looks at single batches")

    def scores(self, model: MultiTaskModel, stream: str) -> Scores:
        assert stream == "holdout"
        mask = encoder_of(model).choice.mask()
        assert mask is not None
        self.policies.append(mask)
        return {"depth": {"rmse": float(mask[1].sum())}}

    def gain(self, scores: Scores, reference: Scores) -> float:
        return scores["depth"]["rmse"] - reference["depth"]["rmse"]

    def macs(self, model: MultiTaskModel) -> float:
        raise AssertionError("the cost of policies is known")

    latency = macs


def encoder_of(model: MultiTaskModel) -> AdaShare:
    assert isinstance(model.encoder, AdaShare)
    return model.encoder


def streams() -> dict[str, Loader]:
    return {
        "train": Loader(4),
        "weights": Loader(2, first=100),
        "policy": Loader(2, first=200),
        "holdout": Loader(1, first=300),
    }


def run(
    folder: Path, on_step: Callable[[int], None] | None = None, epochs: int = EPOCHS, **settings: Any
) -> tuple[MultiTaskModel, Scoring]:
    model, scoring = toy_model(**{**SETTINGS, **settings}), Scoring()
    plan_encoder(model, SIDE)
    job = TrainJob(
        model,
        balancer_of(model),
        TrainSettings(epochs=epochs, optimizer={"name": "sgd", "lr": 0.01}, accelerator="cpu", checkpoint_every=1),
        streams(),
        folder,
        measures=scoring,
    )
    train(job, on_step=on_step)
    return model, scoring


def balancer_of(model: MultiTaskModel) -> Any:
    return BALANCERS.build("uniform", model.tasks)


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def split(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits, and everything that weights and normalisation are."""
    logits = {name: value.clone() for name, value in state.items() if ".policy.logits." in name}
    weights = {
        name: value.clone() for name, value in state.items() if name.startswith(("encoder.network.", "decoder."))
    }
    return logits, weights


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in second)


def test_a_run_goes_through_its_stages(tmp_path: Path) -> None:
    model = toy_model(**SETTINGS)
    states: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = [split(model.state_dict())]
    opened: list[int] = []
    plan_encoder(model, SIDE)
    scoring = Scoring()

    def watch(_: int) -> None:
        states.append(split(model.state_dict()))
        opened.append(encoder_of(model).choice.open_blocks)

    settings = TrainSettings(epochs=EPOCHS, optimizer={"name": "sgd", "lr": 0.01}, accelerator="cpu")
    job = TrainJob(model, balancer_of(model), settings, streams(), tmp_path, measures=scoring)
    train(job, on_step=watch)

    for step, turn in enumerate(["warmup"] * 4 + CYCLE * 6 + ["retrain"] * 4, start=1):
        (old_logits, old_weights), (logits, weights) = states[step - 1], states[step]
        assert same(logits, old_logits) == (turn != "policy"), (step, turn)
        if turn != "retrain":
            assert same(weights, old_weights) == (turn == "policy"), (step, turn)
    assert opened[4:28] == [number for number in range(1, 7) for _ in CYCLE]
    encoder = encoder_of(model)
    moments = encoder.history.moments()
    assert [cycle for cycle, _ in moments] == list(range(6))
    assert (moments[0][1][:, :5] == 1.0).all()
    # The best of the candidates by their scores is kept, and the cost is what was asked.
    mask = encoder.choice.mask()
    assert mask is not None
    assert len(scoring.policies) > 1
    assert mask[1].sum() == max(policy[1].sum() for policy in scoring.policies)
    goal = encoder.choice.budget
    assert goal is not None
    assert goal.cost_of(mask) == pytest.approx(encoder.target_macs, rel=0.02)
    structure = parse_json(next(tmp_path.glob("checkpoints/*/structure.json")).read_text())
    assert structure == encoder.structure()


def test_retraining_begins_with_the_weights_of_the_run(tmp_path: Path) -> None:
    """Rates of 0 in the last stage leave what it begins with."""
    begun = split(toy_model(**SETTINGS).state_dict())[1]

    class Stopped(Exception):  # noqa: N818  # it is no error
        """Ends a run before the last stage trains."""

    seen: list[dict[str, Tensor]] = []
    model = toy_model(**SETTINGS)
    plan_encoder(model, SIDE)
    enter = encoder_of(model).enter_epoch

    def watched(epoch: int, epochs: int) -> None:
        enter(epoch, epochs)
        if encoder_of(model).stage == "retrain":
            seen.append(split(model.state_dict())[1])
            raise Stopped

    encoder_of(model).enter_epoch = watched  # type: ignore[method-assign]
    settings = TrainSettings(epochs=EPOCHS, optimizer={"name": "sgd", "lr": 0.01}, accelerator="cpu")
    job = TrainJob(model, balancer_of(model), settings, streams(), tmp_path, measures=Scoring())
    with pytest.raises(Stopped):
        train(job)
    assert same(seen[0], begun)


@pytest.mark.parametrize("stop", [6, 7, 28, 30])
def test_a_run_killed_in_any_turn_ends_bit_identical(stop: int, tmp_path: Path, whole: dict[str, Tensor]) -> None:
    """Behind a turn, within one of the policy, behind the search, and in the last stage."""
    with pytest.raises(Interrupted):
        run(tmp_path, stop_after(stop))
    parts, _ = run(tmp_path)
    assert [name for name, value in whole.items() if not torch.equal(parts.state_dict()[name], value)] == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        return run(tmp_path_factory.mktemp("whole"))[0].state_dict()


def test_a_search_too_short_for_its_curriculum_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="6 blocks"):
        run(tmp_path / "run", epochs=4)
    assert not (tmp_path / "run").exists()


def test_a_search_alone_ends_with_its_policy(tmp_path: Path) -> None:
    model, _ = run(tmp_path, warmup_share=0.25, search_share=0.75)
    encoder = encoder_of(model)
    assert encoder.structure() is not None
    assert encoder.stage == "search"
    again = toy_model(**{**SETTINGS, "warmup_share": 0.25, "search_share": 0.75})
    encoder_of(again).restructure(encoder.structure() or {})
    again.load_state_dict(model.state_dict())
    picture = torch.randn(1, 3, *SIDE)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(picture).by_task["depth"], model.eval()(picture).by_task["depth"])


def test_policies_of_another_run_train_alone(tmp_path: Path) -> None:
    structure = {
        "policy": {"segmentation": [1, 1, 0, 1, 1, 1], "depth": [1, 1, 0, 1, 0, 0]},
        "run_probability": {"segmentation": [1, 1, 0.2, 0.7, 1, 1], "depth": [1, 0.6, 0.5, 0.5, 0, 0.1]},
        "blocks": list(encoder_of(toy_model()).gated),
    }
    masks = set()
    for seed, choose in enumerate(["best", *["sampled"] * 4]):
        model = toy_model(policy="given", choose=choose)
        encoder = encoder_of(model)
        encoder.choice.seed.fill_(seed)
        encoder.restructure(structure)
        plan_encoder(model, SIDE)
        assert [stage.name for stage in encoder.recipe()] == ["retrain"]
        assert encoder.streams() == {}
        mask = encoder.choice.mask()
        assert mask is not None
        if choose == "best":
            assert mask.astype(int).tolist() == list(structure["policy"].values())
            probability = (encoder.structure() or {})["run_probability"]["depth"]
            assert probability == pytest.approx(structure["run_probability"]["depth"], abs=1e-6)
        masks.add(mask.tobytes())
    assert len(masks) >= 3
