"""Deployed trees: folded, stripped and exported, with the outputs of separate masked passes."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from frugalmtl.backbones.views import macs_per_block
from frugalmtl.decoders.independent import Independent
from frugalmtl.deployment import deploy
from frugalmtl.deployment.fold import ChannelAffine
from frugalmtl.encoders._policy_tree import GatedChain, plan_tree, tree_macs
from frugalmtl.evaluation.cost import count
from frugalmtl.export import EXPORTERS
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation
from tests.support.channels import SIZE, image, scramble
from tests.support.views.residual import KINDS, residual_backbone
from tests.support.views.trees import Policy, TreeEncoder, draw_policies, masked_pass, norms_of

WITHOUT_BATCH_NORM = ("convnext", "swin_transformer", "vision_transformer", "vit-stages")
CONVOLUTIONAL = [kind for kind in KINDS if kind not in WITHOUT_BATCH_NORM]


def tree_model(kind: str, policies: dict[str, Policy] | int, head: str = "linear") -> MultiTaskModel:
    """A model of one task per policy; with a number, of random policies of that seed."""
    network = residual_backbone(kind)
    if isinstance(policies, int):
        policies = draw_policies(len(GatedChain.of(network).gated), 3, policies)
    first = segmentation(classes=("a", "b", "c"))
    tasks = [replace(first, name=name) for name in policies]
    encoder = TreeEncoder(network, policies)
    torch.manual_seed(0)
    model = MultiTaskModel(encoder, Independent(encoder.channels, encoder.strides, tasks, head=head), tasks)
    scramble(model.decoder, 0)
    return model.eval()


def times_run(model: MultiTaskModel) -> Counter[str]:
    """How often every block runs."""
    plan = plan_tree(model.encoder.chain, model.encoder.policies, model.encoder.read_levels)
    return Counter(step.block for step in plan.steps if step.ran is not None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_deployed_trees_predict_as_separate_masked_passes(kind: str, seed: int) -> None:
    model = tree_model(kind, seed)
    plain = deploy(model)
    with torch.no_grad():
        passes = model.encoder.policies.items()
        pyramids = {task: masked_pass(model.encoder.network, policy, image()) for task, policy in passes}
        expected = model.decoder(pyramids, SIZE).by_task
        predicted = plain(image())
    for task, raw in expected.items():
        assert (raw - predicted[task]).abs().max() <= 1e-4 * max(1.0, raw.abs().max())


@pytest.mark.parametrize("kind", CONVOLUTIONAL)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_every_norm_is_folded(kind: str, seed: int) -> None:
    """Also those of blocks that run several times for different histories, and of projections of parted tasks."""
    model = tree_model(kind, seed)
    plain = deploy(model)
    assert norms_of(plain) == []
    assert [part for part in plain.modules() if isinstance(part, ChannelAffine)] == []


def test_a_norm_of_a_block_that_runs_for_three_histories_is_folded() -> None:
    network = residual_backbone("resnet")
    blocks = len(GatedChain.of(network).gated)
    rest = (True,) * (blocks - 2)
    model = tree_model("resnet", {"a": (True, True, *rest), "b": (True, False, *rest), "c": (False, True, *rest)})
    assert max(times_run(model).values()) == 3
    plain = deploy(model)
    assert norms_of(plain) == []


@pytest.mark.parametrize("kind", ["resnet", "cifar-B", "mobilenetv2", "swin_transformer", "vit-stages"])
@pytest.mark.parametrize("head", ["linear", "hrnet"])
def test_a_deployed_tree_stores_and_counts_what_runs(kind: str, head: str) -> None:
    """Heads that read the last level alone, or all; blocks that no task runs are gone, and so are their norms."""
    model = tree_model(kind, 4, head)
    encoder = model.encoder
    plain = deploy(model)
    read = model.read_levels()
    macs = tree_macs(encoder.policies, encoder.chain, macs_per_block(encoder.network, SIZE), read)
    assert count(plain.encoder, SIZE).macs == macs
    plan = plan_tree(encoder.chain, encoder.policies, read)
    names = {name for name, part in plain.encoder.network.named_modules() if [*part.parameters(recurse=False)]}
    for info in encoder.network.blocks:
        stored = any(name == info.name or name.startswith(f"{info.name}.") for name in names)
        weighty = any(True for _ in encoder.network.get_submodule(info.name).parameters())
        assert stored == (weighty and info.name in plan.blocks | plan.projections), info.name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["resnet", "convnext", "vit-stages"])
@pytest.mark.parametrize(("name", "suffix"), [("onnx", ".onnx"), ("torch_export", ".pt2")])
def test_trees_are_exported(kind: str, name: str, suffix: str, tmp_path: Path) -> None:
    """For any number of images: the histories of a block are one call on a multiple of it."""
    exported = EXPORTERS.build(name)(deploy(tree_model(kind, 1)), tmp_path / f"{kind}{suffix}", SIZE)
    assert exported.max_abs_difference <= 1e-4


def test_deployed_copies_are_independent() -> None:
    """A deep copy runs its own weights: nothing of a view points back to the module that was copied."""
    plain = deploy(tree_model("cifar-B", 0))
    copied = deepcopy(plain)
    with torch.no_grad():
        before = copied(image())
        for parameter in plain.parameters():
            parameter.zero_()
        assert all(torch.equal(before[task], raw) for task, raw in copied(image()).items())
