"""Operating points: thresholds that meet them, and points that cannot be met."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Batch
from frugalmtl.decoders.independent import Independent
from frugalmtl.deployment import deploy
from frugalmtl.deployment.planning import plan_encoder
from frugalmtl.encoders import ENCODERS, StageView
from frugalmtl.encoders.adamtl.efficiency.calibration import CLOSE, Calibration, threshold_for
from frugalmtl.encoders.adamtl.encoder import AdaMTLEncoder
from frugalmtl.encoders.adamtl.options import read_points
from frugalmtl.encoders.adamtl.parts import Rule
from frugalmtl.encoders.adamtl.policy import BlockPolicy, TokenPolicy
from frugalmtl.evaluation.cost import distribution
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation
from tests.support.backbones import tiny_backbone

SIZE = (32, 32)


def images(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand(count, 1, 1, 1, generator=generator) * 3 + 0.1
    return scale * torch.nn.functional.interpolate(torch.randn(count, 3, 4, 4, generator=generator), SIZE)


def build(points: Sequence[str], *, spread: float = 1.0, **options: object) -> MultiTaskModel:
    """A model whose policies differ between images and tokens, the more so the larger the spread."""
    seed_everything(0)
    tasks = [segmentation(classes=("wall", "floor", "chair"))]
    backbone = tiny_backbone("swin_transformer")
    encoder = ENCODERS.build({"name": "adamtl", "points": list(points), **options}, backbone, [tasks[0].name])
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, BlockPolicy | TokenPolicy):
                for layer in module.children():
                    layer.weight.mul_(spread)  # type: ignore[operator]
    return MultiTaskModel(encoder, Independent(encoder.channels, encoder.strides, tasks, head="linear"), tasks).eval()


def view(held_out: Tensor) -> StageView:
    def batches(stream: str) -> list[Batch]:
        assert stream == HOLDOUT
        return [Batch(part, {}, {}) for part in held_out.split(32)]

    def refused(*_: object) -> float:
        raise AssertionError

    return StageView(batches, refused, refused, refused, refused)  # type: ignore[arg-type]


def shares(model: MultiTaskModel, values: Sequence[float]) -> list[str]:
    """Points between the cheapest and the dearest."""
    plan_encoder(model, SIZE)
    assert isinstance(model.encoder, AdaMTLEncoder)
    cost = model.encoder.cost
    assert cost is not None
    return [f"{(cost.cheapest + value * (cost.dearest - cost.cheapest)) / 1e6:.4f}M" for value in values]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"policy": "random"}], ids=str)
def test_points_meet_their_cost(options: dict[str, object]) -> None:
    points = shares(build([], **options), (0.3, 0.7))
    model = build(points, spread=3.0, **options)
    plan_encoder(model, SIZE)
    encoder = model.encoder
    assert isinstance(encoder, AdaMTLEncoder)
    assert deploy(model, example=images(2, 0)).points == ()  # before it is calibrated
    encoder.end_stage("static", view(images(4, 1)))
    assert encoder.calibration.rules() == {}
    held_out, others = images(16, 1), images(16, 2)
    encoder.end_stage("joint", view(held_out))
    plain = deploy(model, example=images(2, 0))
    assert plain.points == tuple(points)
    assert encoder.cost is not None
    rules = encoder.calibration.rules()
    for number, point in enumerate(points):
        goal, reached = encoder.calibration.goals[number].item(), encoder.calibration.reached[number].item()
        assert reached == pytest.approx(goal, rel=0.03)  # of one block of one image
        at, cost = plain.at(point), encoder.image_cost(SIZE, encoder.cost.decoder_macs, rules[point].sure)
        assert cost(at.decide(held_out)).mean().item() == pytest.approx(reached, rel=1e-3)
        assert distribution(at, held_out[:2]).mean == cost(at.decide(held_out[:2])).mean().item()
        assert cost(at.decide(others)).mean().item() == pytest.approx(goal, rel=0.3)
    thresholds = [rule.threshold for rule in encoder.calibration.rules().values()]
    assert thresholds == sorted(thresholds, reverse=True)  # the cheaper, the higher


def test_thresholds_are_saved_and_serve_after_loading() -> None:
    points = shares(build([]), (0.5,))
    model = build(points, spread=5.0)
    plan_encoder(model, SIZE)
    model.encoder.end_stage("joint", view(images(16, 1)))
    loaded = build(points)
    loaded.load_state_dict(model.state_dict())
    batch = images(8, 3)
    one, other = (deploy(each, example=images(2, 0)).at(points[0]) for each in (model, loaded))
    assert torch.equal(one(batch)["segmentation"], other(batch)["segmentation"])


@torch.no_grad()
def test_what_is_on_for_all_held_out_images_costs_no_policy() -> None:
    points = shares(build([]), (0.5,))
    model = build(points, spread=5.0)
    plan_encoder(model, SIZE)
    encoder, held_out = model.encoder, images(16, 1)
    assert isinstance(encoder, AdaMTLEncoder)
    first = encoder.stages[0]
    for policies in encoder.policies.nets.values():
        net = policies.blocks[str(first.number)]  # type: ignore[union-attr, operator, index]
        net.logits.bias.add_(100.0)
    encoder.end_stage("joint", view(held_out))
    rule = encoder.calibration.rules()[points[0]]
    assert first.decision in rule.sure
    assert encoder.calibration.reached == pytest.approx(encoder.calibration.goals, rel=0.03)
    at = deploy(model, example=images(2, 0)).at(points[0])
    assert str(first.number) not in at.encoder.policies.blocks  # type: ignore[union-attr, operator]
    cost = encoder.image_cost(SIZE, encoder.cost.decoder_macs, rule.sure)  # type: ignore[union-attr]
    assert cost(at.decide(held_out)).mean().item() == pytest.approx(encoder.calibration.reached.item(), rel=1e-9)
    assert distribution(at, held_out[:2]).mean == cost(at.decide(held_out[:2])).mean().item()
    assert cost.rest < encoder.cost.rest  # type: ignore[union-attr]


def test_points_below_the_cheapest_are_refused_before_a_training() -> None:
    with pytest.raises(UserError, match=r"operating point '0.001x' cannot be reached.*nothing on costs.*everything"):
        plan_encoder(build(["0.001x"]), SIZE)


def test_a_point_above_the_dearest_is_the_dearest() -> None:
    model = build(["50x"])
    with pytest.warns(UserWarning, match="is met by everything on at"):
        plan_encoder(model, SIZE)


class Stepping:
    """Held-out images on which all is decided alike."""

    def mean_cost(self, rule: Rule) -> float:
        """One step."""
        return 1.5e6 if rule.threshold < 0.3 else 0.1e6

    def always_on(self, rule: Rule) -> frozenset[str]:
        """Nothing."""
        return frozenset()


def test_a_point_that_no_threshold_meets_is_said() -> None:
    calibration = Calibration(read_points(("1M",), "learned"))
    calibration.goals.fill_(1e6)
    with pytest.warns(UserWarning, match=r"'1M'.*0.0015 G.*\+50.0% from its 0.001 G"):
        calibration.calibrate(Stepping())
    assert calibration.reached.item() == 1.5e6


@pytest.mark.parametrize("goal", [0.05, 0.3, 0.5, 0.97])
@pytest.mark.parametrize("offset", [-40.0, 0.0, 3.0])
def test_thresholds_are_found_far_and_near(goal: float, offset: float) -> None:
    trials = []

    def mean_cost(threshold: float) -> float:
        trials.append(threshold)
        return float(torch.sigmoid(torch.tensor(offset - threshold, dtype=torch.float64)))

    threshold, reached = threshold_for(goal, mean_cost)
    assert reached == pytest.approx(goal, rel=CLOSE)
    assert reached == mean_cost(threshold)
    assert len(trials) < 30


def test_time_is_no_point_and_one_cost_has_none() -> None:
    with pytest.raises(UserError, match="multiply-adds"):
        build(["35ms"])
    with pytest.raises(UserError, match="one cost"):
        build(["0.3x"], policy="always_on")
