"""Edges and saliency: their losses, and the score that counts."""

from __future__ import annotations

from frugalmtl.tasks import TASKS, Task


def build(kind: str, **options: object) -> Task:
    task: Task = TASKS.build({"name": kind, **options})
    return task


def test_edges_count_by_their_f_measure_or_their_loss() -> None:
    plain, by_loss = build("edges"), build("edges", primary="loss")
    assert (plain.primary, plain.higher_is_better) == ("ods_f", True)
    assert (by_loss.primary, by_loss.higher_is_better) == ("loss", False)
    assert build("edges", matching="dilation").primary == "ods_f_approx"


def test_the_loss_is_balanced_or_plain_and_scored_as_it_is_trained() -> None:
    balanced, plain = build("edges", positive_weight=0.8), build("edges", loss="bce")
    assert (balanced.loss.name, balanced.loss.args) == ("balanced_bce", {"positive_weight": 0.8})
    assert (plain.loss.name, plain.loss.args) == ("bce", {})
    assert [metric.args for metric in (balanced.metrics[1], plain.metrics[1])] == [{"positive_weight": 0.8}, {}]
    assert build("saliency").loss.name == "balanced_bce"
    assert build("saliency", loss="bce").loss.name == "bce"
