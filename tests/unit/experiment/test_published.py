"""Published figures beside counted ones, in a paper's own convention."""

from __future__ import annotations

from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.comparison import Comparison
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.published import Published
from frugalmtl.experiment.measure.profiling import profile
from frugalmtl.experiment.measure.published import count_rows, published_beside_measured
from frugalmtl.experiment.runs.build import build

MEASURED = {"macs": 100.0, "products": 20.0, "params": 6.0}
BASE: dict[str, Any] = {
    "image_size": [32, 32],
    "tasks": [{"kind": "depth"}, {"kind": "segmentation", "classes": 3}],
    "backbone": {"name": "cifar_resnet", "depth": 8, "shortcut": "B"},
    "decoder": {"name": "independent", "head": "linear"},
    "published": {"source": "a table", "convention": "2 macs"},
}
GATED = {"encoder": {"name": "interrogate"}, "published": {"flops": 5.0e6, "params": 1.0e5}}


def comparison(**rows: Any) -> Comparison:
    single = {"encoder": {"name": "single_task"}, "published": {"flops": 6.0e6}}
    return Comparison(BASE, {"single": single, **rows}, "single")


@pytest.mark.parametrize(
    ("convention", "flops"), [("macs", 100.0), ("macs / 2", 50.0), ("2 macs", 200.0), ("2 macs, products 1", 180.0)]
)
def test_figures_are_held_against_those_of_the_same_convention(convention: str, flops: float) -> None:
    published: dict[str, Any] = {"source": "a table", "convention": convention, "flops": 400.0, "params": 3.0}
    (row,) = published_beside_measured(Experiment(published=Published(**published)), MEASURED)
    assert row == {
        **published,
        "measured_flops": flops,
        "flops_ratio": flops / 400,
        "measured_params": 6.0,
        "params_ratio": 2.0,
    }


def test_figures_without_a_convention_or_a_measurement_stand_alone() -> None:
    printed: dict[str, Any] = {"source": "a table", "flops": 400.0}
    assert published_beside_measured(Experiment(published=Published(**printed)), MEASURED) == [printed]
    complete = printed | {"convention": "macs", "params": 3.0}
    assert published_beside_measured(Experiment(published=Published(**complete)), None) == [complete]
    assert published_beside_measured(Experiment(), MEASURED) == []


def test_rows_are_counted_beside_their_published_figures() -> None:
    lines: list[str] = []
    shared = {"title": "One trunk", "encoder": {"name": "hard_sharing"}, "published": {"flops": 4.0e6}}
    table = count_rows(comparison(search={"shown": False}, shared=shared, gated=GATED), lines.append)
    assert list(table["rows"]) == ["single", "shared", "gated"]
    assert lines[-1].startswith("counted gated, row 3 of 3")
    assert table["image_size"] == [32, 32]
    assert [line.split(",")[0] for line in lines] == ["counted single", "counted shared", "counted gated"]
    single, trunk, gated = table["rows"].values()
    assert (single["title"], trunk["title"]) == ("single", "One trunk")
    assert trunk["macs"] < single["macs"] < gated["macs"]
    assert single["published"][0]["measured_flops"] == 2 * single["macs"] == single["flops"]
    assert single["published"][0]["flops_ratio"] == pytest.approx(2 * single["macs"] / 6.0e6)
    assert trunk["published"][0]["source"] == "a table"


def test_cost_that_training_decides_is_compared_after_it_alone() -> None:
    table = count_rows(comparison(gated=GATED), str)
    assert table["rows"]["gated"]["learns_cost"]
    assert not table["rows"]["single"]["learns_cost"]
    assert "flops_ratio" not in table["rows"]["gated"]["published"][0]
    config = Experiment(
        image_size=(32, 32),
        tasks=BASE["tasks"],
        backbone=BASE["backbone"],
        encoder={"name": "interrogate"},
        decoder=BASE["decoder"],
        published=Published("a table", convention="macs", flops=1.0e6),
    )
    before = profile(config, build(config), 1)
    assert "flops_ratio" not in before["published"][0]
    after = profile(config, build(config), 1, trained=True)
    assert after["published"][0]["measured_flops"] == after["deployed"]["macs"] < after["training"]["macs"]


def test_a_mistake_is_refused_before_anything_is_counted() -> None:
    lines: list[str] = []
    for row in ({"published": {"convention": "3 macs", "flops": 1.0}}, {"encoder": {"name": "hard_shearing"}}):
        with pytest.raises(UserError, match="unknown"):
            count_rows(comparison(last=row), lines.append)
    assert lines == []


def test_balancers_that_compute_with_values_can_be_counted() -> None:
    table = count_rows(comparison(front={"balancer": {"name": "pareto_mtl", "preferences": 2}}), str)
    assert table["rows"]["front"]["macs"] > 0
