"""Policies of AdaShare: per task and block the chance that the block runs, and draws from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

TAU = 5.0
"""Temperature of the first cycle."""

COOLING = 0.965
"""Factor of the temperature from one cycle to the next."""

ROWS = 32
"""Moments of a search that :class:`History` keeps."""

_ALL_RUN = -10.0
"""First skip logit of blocks that are all to run (about the published code's ``init_neg_logits``)."""

SURE = 20.0
"""Largest log-odds that probabilities stand for: single precision knows no nearer to 1."""


def temperature(cycle: int) -> float:
    """``tau = 5 x 0.965^cycle``: the published code cools at the end of every policy phase, not at every step."""
    return TAU * COOLING**cycle


class Policy(nn.Module):
    """Logits ``[L, 2]`` of every task over the L gated blocks; column 0 is run, column 1 is skip.

    Args:
        tasks: their names.
        blocks: number L of gated blocks.
        initial: first logits: ``"equal"`` (0.5 and 0.5), ``"random"`` (normal, 0.001 wide) or ``"all_run"`` (0, -10).

    Attributes:
        tau: temperature of the draws.
    """

    tau: Tensor

    def __init__(self, tasks: Sequence[str], blocks: int, initial: Literal["equal", "random", "all_run"]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.logits = nn.ParameterDict({task: nn.Parameter(_first(blocks, initial)) for task in tasks})
        self.register_buffer("tau", torch.tensor(TAU))

    def stacked(self) -> Tensor:
        """All logits, ``[T, L, 2]``."""
        return torch.stack([self.logits[task] for task in self.tasks])  # torch sorts the names by themselves

    def run_probability(self) -> Tensor:
        """``P(run)``, ``[T, L]``: the softmax of the logits without noise and temperature."""
        return self.stacked().softmax(-1)[..., 0]

    def log_odds(self) -> Tensor:
        """``log P(run) - log P(skip)``, ``[T, L]``."""
        logits = self.stacked()
        return logits[..., 0] - logits[..., 1]

    def sample(self, *, hard: bool) -> Tensor:
        """One draw for the whole mini-batch, ``[T, L]``: the run column of ``softmax((logits + Gumbel noise) / tau)``.

        The noise comes from torch's global generator. A ``hard`` draw is 0 or 1 with the gradient of the soft one
        (straight-through).
        """
        draws = functional.gumbel_softmax(self.stacked(), tau=self.tau, hard=hard)  # type: ignore[arg-type]  # a tensor does
        return draws[..., 0]

    @torch.no_grad()
    def set_probability(self, probability: Tensor) -> None:
        """Logits with this ``P(run)``, ``[T, L]``; those of sure blocks differ by 20."""
        odds = torch.logit(probability.double()).clamp(-SURE, SURE).to(self.tau)
        for row, task in zip(odds, self.tasks, strict=True):
            self.logits[task].copy_(torch.stack([row / 2, -row / 2], dim=-1))


def _first(blocks: int, initial: str) -> Tensor:
    if initial == "random":
        return 1e-3 * torch.randn(blocks, 2)
    return torch.tensor([0.5, 0.5] if initial == "equal" else [0.0, _ALL_RUN]).repeat(blocks, 1)


def drawn_odds(log_odds: Tensor, generator: torch.Generator) -> Tensor:
    """Log-odds ``[T, L]`` of one discrete draw, with logistic noise: their sign is a policy in which every block runs
    with its probability (the Gumbel trick for two choices), and their size says how dear it is to deviate from it.

    Args:
        log_odds: ``log P(run) - log P(skip)``, ``[T, L]``.
        generator: of the CPU.
    """
    odds = log_odds.detach().double().cpu()
    return odds + torch.rand(odds.shape, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12).logit()


class History(nn.Module):
    """Run probabilities over the cycles of a search, for a picture; at most 32 moments, evenly spread.

    A search that has more cycles forgets every second moment and from then on keeps half as many.

    Args:
        tasks: number T of tasks.
        blocks: number L of gated blocks.

    Attributes:
        rows: ``[32, T, L]``.
        length: how many of them are in use.
        every: cycles from one row to the next.
    """

    rows: Tensor
    length: Tensor
    every: Tensor

    def __init__(self, tasks: int, blocks: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(ROWS, tasks, blocks))
        self.register_buffer("length", torch.zeros((), dtype=torch.int64))
        self.register_buffer("every", torch.ones((), dtype=torch.int64))

    @torch.no_grad()
    def record(self, cycle: int, probability: Tensor) -> None:
        """Keep the probabilities ``[T, L]`` at the beginning of a cycle; the same again changes nothing."""
        while cycle // int(self.every) >= ROWS:
            self.rows[: ROWS // 2] = self.rows[::2].clone()
            self.length.fill_(ROWS // 2)
            self.every.mul_(2)
        if cycle % int(self.every) == 0:
            row = cycle // int(self.every)
            self.rows[row] = probability
            self.length.fill_(row + 1)

    def moments(self) -> list[tuple[int, Tensor]]:
        """Every recorded cycle and its probabilities ``[T, L]``."""
        return [(row * int(self.every), self.rows[row].cpu()) for row in range(int(self.length))]
