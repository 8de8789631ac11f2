"""Peak memory of chains whose live tensors can be listed by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frugalmtl.evaluation.cost import peak_memory
from frugalmtl.evaluation.cost.memory import peak_of

IMAGE = torch.rand(1, 3, 8, 8)
PLANE = 8 * 8 * 4  # bytes of one float32 channel


class Keep(nn.Module):
    """Runs a chain and keeps the first output until the end."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        first = value = self.parts[0](image)
        for part in self.parts[1:]:
            value = part(value)
        return first, value


def chain() -> list[nn.Module]:
    return [nn.Conv2d(3, 4, 1), nn.Conv2d(4, 10, 1), nn.Conv2d(10, 6, 1), nn.Conv2d(6, 1, 1)]


def test_chain_holds_two_neighbours():
    assert peak_memory(nn.Sequential(*chain()), IMAGE) == (10 + 6) * PLANE


def test_kept_tensor_adds_up():
    assert peak_memory(Keep(*chain()), IMAGE) == (4 + 10 + 6) * PLANE


def test_views_and_in_place_operations_are_free():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Flatten())
    assert peak_memory(module, IMAGE) == 4 * PLANE
    assert peak_memory(nn.Flatten(), IMAGE) == 0


def test_weights_do_not_count():
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1000, 1000))

        def forward(self, image: Tensor) -> Tensor:
            return self.weight.view(-1)[:3].view(1, 3, 1, 1) + image

    assert peak_memory(Wide(), IMAGE) == 3 * PLANE


def training_step(keep: bool = False) -> tuple[nn.Module, Tensor]:
    """B = 50: 10 -> 100 -> 7 without biases, forward and backward, twice if the graph is kept."""
    network = nn.Sequential(nn.Linear(10, 100, bias=False), nn.ReLU(), nn.Linear(100, 7, bias=False))
    loss = network(IMAGE.new_ones(50, 10)).sum()
    torch.autograd.backward(loss, retain_graph=keep)
    if keep:
        loss.backward()
    return network, loss


HIDDEN, FIRST, LAST, SCALAR = 50 * 100 * 4, 10 * 100 * 4, 100 * 7 * 4, 4
STEP = {
    "made by the test": FIRST + LAST + 50 * 10 * 4,
    # Worst while the gradient passes the ReLU: its output, the gradients on both sides, the last layer's gradient, the
    # loss and the 1 that the backward pass begins with.
    "backward": 3 * HIDDEN + LAST + 2 * SCALAR,
}


def test_a_backward_pass_counts_with_what_the_graph_keeps_and_the_gradients():
    with peak_of(torch.device("cpu")) as peak:
        training_step()
    assert peak.bytes == sum(STEP.values())


def test_a_kept_graph_and_the_gradients_of_the_first_pass_add_up():
    with peak_of(torch.device("cpu")) as peak:
        training_step(keep=True)
    # The second time the first layer's gradient is there already, and the last layer's new one is added and gone.
    assert peak.bytes == sum(STEP.values()) + FIRST


def test_nothing_is_seen_after_the_block():
    with peak_of(torch.device("cpu")) as peak:
        pass
    torch.zeros(100)
    assert peak.bytes == 0


def test_what_was_there_before_does_not_count_whoever_holds_it():
    kept = torch.zeros(1000)
    with peak_of(torch.device("cpu")) as peak:
        kept.add_(1).view(10, 100)
        kept[:10] + 1
    assert peak.bytes == 10 * 4
