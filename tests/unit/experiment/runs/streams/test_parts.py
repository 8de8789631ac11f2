"""Parts of the training split by stream, and what is refused of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, Share, Stage, Turn
from frugalmtl.data import Dataset, Split
from frugalmtl.engine import TrainSettings
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.runs.build import Built, build
from frugalmtl.experiment.runs.streams.loaders import training_loaders
from frugalmtl.experiment.runs.streams.parts import check_streams, held_out_fact, stream_parts

CONFIG: dict[str, Any] = {
    "image_size": [32, 32],
    "tasks": [{"kind": "segmentation", "classes": 3}, {"kind": "depth"}, {"kind": "edges"}],
    "backbone": {"name": "cifar_resnet", "depth": 8},
    "decoder": {"name": "independent", "head": "linear"},
}
SETTINGS = TrainSettings(batch_size=4)


class Named(Split):
    """So many samples; only some of the first ones have a label of depth."""

    def __init__(self, count: int, labelled: Sequence[int]) -> None:
        self.count, self.with_depth = count, set(labelled)

    def __len__(self) -> int:
        return self.count

    @property
    def ids(self) -> Sequence[str]:
        return [f"im{index}" for index in range(self.count)]

    def has_label(self, index: int, task: str) -> bool:
        return task != "depth" or index in self.with_depth


class OneSplit(Dataset):
    """A dataset of a training split alone."""

    splits = ("train",)

    def __init__(self, count: int = 200, labelled: Sequence[int] | None = None) -> None:
        self.samples = Named(count, range(count) if labelled is None else labelled)

    def split(self, name: str) -> Split:
        assert name == "train"
        return self.samples


def network(
    streams: Mapping[str, Share] | None = None,
    recipe: tuple[Stage, ...] = (Stage(),),
    balancer: str | dict[str, Any] = "fixed",
) -> Built:
    """A network whose encoder has these streams and stages."""
    section = {"name": balancer} if isinstance(balancer, str) else balancer
    built = build(parse(Experiment, {**CONFIG, "balancer": section}))
    encoder: Any = built.model.encoder
    encoder.streams, encoder.recipe = lambda: streams or {}, lambda: recipe
    return built


def members(built: Built, dataset: Dataset) -> dict[str, set[str]]:
    return {name: set(one.samples.ids) for name, one in stream_parts(built, dataset).items()}


def test_what_is_held_out_is_read_by_the_second_stream_alone() -> None:
    streams = {"weights": (0.0, 0.6), "policy": (0.6, 0.8), HOLDOUT: (0.8, 1.0), "all": (0.0, 1.0)}
    by_stream = members(network(streams, balancer={"name": "auto_lambda", "held_out": 0.25}), OneSplit(400))
    assert by_stream["train"] | by_stream["validation"] == {f"im{index}" for index in range(400)}
    assert by_stream["all"] == by_stream["train"]
    assert not by_stream["train"] & by_stream["validation"]
    pieces = [by_stream[name] for name in ("weights", "policy", HOLDOUT)]
    assert set.union(*pieces) == by_stream["train"]
    assert sum(map(len, pieces)) == len(by_stream["train"])
    assert 0.17 < len(by_stream["validation"]) / 400 < 0.33


def test_without_a_held_out_part_the_second_stream_is_the_whole_split() -> None:
    dataset = OneSplit()
    built = network(balancer={"name": "auto_lambda", "held_out": 0})
    parts = stream_parts(built, dataset)
    assert parts["train"].samples is parts["validation"].samples is dataset.samples
    assert check_streams(built, parts, SETTINGS) == []
    assert held_out_fact(built) == {}
    assert list(stream_parts(network(), dataset)) == ["train"]


def test_what_is_held_out_is_said() -> None:
    built, dataset = network(balancer="auto_lambda"), OneSplit()
    parts = stream_parts(built, dataset)
    count = len(parts["validation"].samples)
    assert check_streams(built, parts, SETTINGS) == [
        f"auto_lambda holds out 20% of the training split ({count} of 200 samples), on which its weights alone are "
        "learned (balancer.held_out)"
    ]
    assert held_out_fact(built) == {"held_out": 0.2}


def refusal(built: Built, dataset: Dataset) -> str:
    with pytest.raises(UserError) as caught:
        check_streams(built, stream_parts(built, dataset), SETTINGS)
    return str(caught.value)


def test_a_stream_without_a_batch_is_refused() -> None:
    message = refusal(network({"policy": (0.99, 1.0)}, (Stage(stream="policy"),)), OneSplit(200))
    assert message.startswith("stream 'policy' (the part [0.99, 1) of the training split, ")
    assert (
        "of 200 samples) holds fewer samples than one batch of 4: take a smaller train.batch_size or change" in message
    )
    assert "the shares of its streams in the section 'encoder'" in message


def test_a_stream_that_nothing_is_trained_on_may_hold_less_than_a_batch() -> None:
    built = network({"fitting": (0.0, 0.99), HOLDOUT: (0.99, 1.0)}, (Stage(stream="fitting"),))
    parts = stream_parts(built, OneSplit(200))
    assert 0 < len(parts[HOLDOUT].samples) < SETTINGS.batch_size
    assert check_streams(built, parts, SETTINGS) == []
    config = parse(Experiment, {**CONFIG, "train": {"batch_size": SETTINGS.batch_size}})
    assert list(training_loaders(built, parts, config, 0, 1)) == ["train", "fitting"]


def test_a_stream_without_samples_is_refused() -> None:
    message = refusal(network({"policy": (0.999, 1.0)}), OneSplit(5))
    assert message.startswith("stream 'policy' (the part [0.999, 1) of the training split): ")
    assert "holds 0 of its 5 samples" in message
    message = refusal(network(balancer={"name": "auto_lambda", "held_out": 0.001}), OneSplit(5))
    assert message.endswith("the share follows from balancer.held_out (0.001)")


@pytest.mark.parametrize("fewest", ["train", "validation"])
def test_what_a_balancer_leaves_must_fill_batches_too(fewest: str) -> None:
    held_out = {"train": 0.9, "validation": 0.1}[fewest]
    built = network(balancer={"name": "auto_lambda", "held_out": held_out})
    message = refusal(built, OneSplit(12))
    assert message.startswith(f"stream '{fewest}'")
    assert f"balancer.held_out ({held_out:g})" in message


def test_the_tasks_of_a_turn_need_a_label_in_its_stream() -> None:
    streams, dataset = {"one": (0.0, 0.5), "two": (0.5, 1.0)}, OneSplit(200)
    first = stream_parts(network(streams), dataset)["one"].samples.ids
    dataset = OneSplit(200, [int(name.removeprefix("im")) for name in first])
    turns = (Turn("seen", stream="one"), Turn("unseen", stream="two", tasks=("segmentation",)))
    parts = stream_parts(network(streams), dataset)
    check_streams(network(streams, (Stage(turns=turns),)), parts, SETTINGS)
    for turn in (replace(turns[1], tasks=None), replace(turns[1], tasks=("depth", "edges"))):
        message = refusal(network(streams, (Stage(turns=(turns[0], turn)),)), dataset)
        assert message.startswith("stream 'two' (the part [0.5, 1) of the training split, ")
        assert "has no label of task 'depth', which the turn 'unseen' needs: change the shares" in message
    again = replace(turns[1], stream="two", tasks=None, same_batch=True)
    check_streams(network(streams, (Stage(turns=(*turns, again)),)), {"one": parts["one"]}, SETTINGS)
    message = refusal(network({**streams, HOLDOUT: (0.5, 1.0)}, (Stage(turns=turns),)), dataset)
    assert "stream 'holdout'" in message
    assert "which its score needs" in message


def test_stages_without_epochs_need_nothing() -> None:
    streams, dataset = {"two": (0.5, 1.0)}, OneSplit(200)
    missing = stream_parts(network(streams), dataset)["two"].samples.ids
    dataset = OneSplit(200, [index for index in range(200) if f"im{index}" not in missing])
    stages = (Stage("never", 0.0, stream="two"), Stage("always", turns=(Turn("t", stream="two", tasks=("edges",)),)))
    check_streams(network(streams, stages), stream_parts(network(streams), dataset), SETTINGS)
