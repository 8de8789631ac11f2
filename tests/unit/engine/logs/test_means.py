"""Means over an epoch: statistics of the model, over interruptions, without waiting for the device."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from frugalmtl.engine.logs import Means, count_report
from frugalmtl.engine.logs.run_log import FILE
from frugalmtl.engine.step import StepReport
from tests.support.balancing.pretended_device import pretended_device, waits
from tests.support.tiny_training import Interrupted, run, stop_after

CPU = torch.device("cpu")


def records(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def test_an_epoch_has_the_mean_of_every_statistic_over_its_steps(tmp_path: Path) -> None:
    _, _, result = run(tmp_path, "stitched")
    steps, epochs = records(tmp_path, "step"), records(tmp_path, "epoch")
    for epoch in epochs:
        values = [step["statistics"]["units"] for step in steps if step["epoch"] == epoch["epoch"]]
        assert len(values) == 5
        assert epoch["statistics"] == {"units": pytest.approx(sum(values) / 5, rel=1e-6)}
    assert [record["statistics"] for record in result.history] == [epoch["statistics"] for epoch in epochs]
    last = {step["epoch"]: step["statistics"]["units"] for step in steps}
    assert any(abs(epoch["statistics"]["units"] - last[epoch["epoch"]]) > 1e-6 for epoch in epochs), "they do change"


def test_a_run_that_was_stopped_inside_an_epoch_has_the_same_means(tmp_path: Path) -> None:
    run(tmp_path / "whole", "stitched", checkpoint_every=1)
    for stop in (7, 13):  # the third step of an epoch, in the first and in the second stage
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", "stitched", checkpoint_every=1, on_step=stop_after(stop))
    run(tmp_path / "parts", "stitched", checkpoint_every=1)
    whole, parts = ([each["statistics"] for each in records(tmp_path / name, "epoch")] for name in ("whole", "parts"))
    assert whole == parts
    assert len(whole) == 4


def test_a_statistic_counts_in_the_steps_that_give_it() -> None:
    means = Means()
    for values in ({"run.a": 1.0, "tau": 5.0}, {"run.a": 4.0}, {}):
        count_report(means, StepReport(statistics={name: torch.tensor(value) for name, value in values.items()}))
    again = Means(**means.state())
    count_report(again, StepReport(statistics={"run.a": torch.tensor(4.0), "own.b/c": torch.tensor(math.inf)}))
    assert means.by_kind(CPU)["statistics"] == {"run.a": 2.5, "tau": 5.0}
    assert again.by_kind(CPU)["statistics"] == {"run.a": 3.0, "tau": 5.0, "own.b/c": math.inf}
    assert "statistics" not in Means().by_kind(CPU)


def test_counting_does_not_wait_for_the_device() -> None:
    means = Means()
    with waits() as seen:
        there = torch.ones(4).to(pretended_device())
        seen.clear()
        for _ in range(3):
            count_report(means, StepReport(parts={"a": there.sum()}, statistics={"run.a": there.float().mean()}))
        assert seen == []
        assert means.by_kind(CPU) == {"parts": {"a": 4.0}, "statistics": {"run.a": 1.0}}
    assert seen, "the end of an epoch does wait"
