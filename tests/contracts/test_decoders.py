"""Contract of decoders and heads."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.core.registry import Registry
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders import DECODERS, Decoder
from frugalmtl.decoders.heads import HEADS, Head
from frugalmtl.tasks import Task
from frugalmtl.tasks.classification import classification
from frugalmtl.tasks.segmentation import segmentation

PYRAMIDS = {
    "spread": ([6, 8, 12, 16], [4, 8, 16, 32]),
    "dilated": ([6, 8, 12, 16], [4, 8, 8, 8]),
    "single": ([16], [8]),
}
SMALL = {"width": 16, "fuse_width": 16, "pyramid_width": 8, "reduction": 2}
SIZE = (64, 96)
Scramble = Callable[[nn.Module], None]


def small(registry: Registry, name: str) -> dict[str, object]:
    """A section with small widths, where the member has any."""
    return {"name": name, **{key: value for key, value in SMALL.items() if key in registry.schema(name)}}


def tasks_of(kind: str) -> list[Task]:
    first = segmentation(classes=("wall", "floor", "chair"))
    second = replace(first, name="second", channels=1)
    vector = classification(classes=("plant", "lamp"))
    helper = replace(first, name="helper", channels=2, auxiliary=True)
    return {"one": [first], "two": [first, second], "vector": [vector], "all": [first, helper, vector, second]}[kind]


def pyramid_of(channels: list[int], strides: list[int], batch: int = 2, size: tuple[int, int] = SIZE) -> Pyramid:
    pairs = zip(channels, strides, strict=True)
    return [torch.randn(batch, width, size[0] // stride, size[1] // stride) for width, stride in pairs]


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def operations(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return int(counter.get_total_flops())


def unused(module: nn.Module, run: Callable[[], dict[str, Tensor] | Tensor]) -> list[str]:
    """Parameters that no output depends on."""
    module.requires_grad_(True)
    outputs = run()
    tensors = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
    torch.stack([tensor.sum() for tensor in tensors]).sum().backward()
    return [name for name, parameter in module.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("kind", PYRAMIDS)
@pytest.mark.parametrize("name", HEADS.names())
class TestHead:
    def build(self, name: str, kind: str, scramble: Scramble) -> Head:
        head: Head = HEADS.build(small(HEADS, name), *PYRAMIDS[kind], 5)
        scramble(head)
        return head

    def test_shape_and_gradients(self, name: str, kind: str, scramble_norms: Scramble) -> None:
        head = self.build(name, kind, scramble_norms)
        pyramid = pyramid_of(*PYRAMIDS[kind])
        raw = head(pyramid)
        assert raw.shape == ((2, 5, SIZE[0] // head.stride, SIZE[1] // head.stride) if head.dense else (2, 5))
        raw.square().sum().backward()
        assert all(parameter.grad is not None for parameter in head.parameters())

    def test_deployed_head_equals_and_costs_no_more(self, name: str, kind: str, scramble_norms: Scramble) -> None:
        head = self.build(name, kind, scramble_norms).eval()
        plain = deepcopy(head).deploy()
        for batch, size in ((2, SIZE), (1, (32, 64)), (3, (96, 32))):
            pyramid = pyramid_of(*PYRAMIDS[kind], batch, size)
            torch.testing.assert_close(plain(pyramid), head(pyramid), rtol=0, atol=1e-4)
        pyramid = pyramid_of(*PYRAMIDS[kind])
        assert unused(plain, lambda: plain(pyramid)) == []
        assert parameters(plain) <= parameters(head)
        assert operations(lambda: plain(pyramid)) <= operations(lambda: head(pyramid))


CASES = [
    (name, kind, tasks) for name in DECODERS.names() for kind in PYRAMIDS for tasks in ("one", "two", "vector", "all")
]


@pytest.mark.parametrize(("name", "kind", "tasks"), CASES)
class TestDecoder:
    def build(self, name: str, kind: str, tasks: str, scramble: Scramble) -> Decoder:
        section = small(DECODERS, name)
        if "head" in DECODERS.schema(name):
            section["head"] = {"name": "hrnet", "width": 16}
        decoder: Decoder = DECODERS.build(section, *PYRAMIDS[kind], tasks_of(tasks))
        scramble(decoder)
        return decoder

    def features(self, kind: str, tasks: str, *, shared: bool, **how: object) -> dict[str, Pyramid]:
        pyramid = pyramid_of(*PYRAMIDS[kind], **how)  # type: ignore[arg-type]
        return {
            task.name: pyramid if shared else [level + torch.randn_like(level) for level in pyramid]
            for task in tasks_of(tasks)
        }

    def test_predictions_and_gradients(self, name: str, kind: str, tasks: str, scramble_norms: Scramble) -> None:
        decoder = self.build(name, kind, tasks, scramble_norms)
        predictions = decoder(self.features(kind, tasks, shared=False), SIZE)
        wanted = tasks_of(tasks)
        assert list(predictions.by_task) == [task.name for task in wanted if not task.auxiliary]
        outputs = [raw for task in wanted for raw in predictions.outputs_of(task.name)]
        for task in wanted:
            likened = [predictions.by_task, *(item.by_task for item in predictions.auxiliary.values() if not item.loss)]
            shapes = {tuple(group[task.name].shape) for group in likened if task.name in group}
            assert shapes == {(2, task.channels, *SIZE) if task.dense else (2, task.channels)}
        torch.stack([raw.square().mean() for raw in outputs]).sum().backward()
        without = [key for key, parameter in decoder.named_parameters() if parameter.grad is None]
        assert without == []

    @pytest.mark.parametrize("shared", [True, False])
    def test_deployed_decoder_equals_and_costs_no_more(
        self, name: str, kind: str, tasks: str, shared: bool, scramble_norms: Scramble
    ) -> None:
        decoder = self.build(name, kind, tasks, scramble_norms).eval()
        plain = deepcopy(decoder).deploy()
        for batch, size in ((2, SIZE), (1, (32, 64))):
            features = self.features(kind, tasks, shared=shared, batch=batch, size=size)
            expected, deployed = decoder(features, size).by_task, plain(features, size)
            assert list(deployed) == list(expected)
            for key, raw in expected.items():
                torch.testing.assert_close(deployed[key], raw, rtol=0, atol=1e-4)
        features = self.features(kind, tasks, shared=shared)
        assert unused(plain, lambda: plain(features, SIZE)) == []
        assert parameters(plain) <= parameters(decoder)
        assert operations(lambda: plain(features, SIZE)) <= operations(lambda: decoder(features, SIZE))
