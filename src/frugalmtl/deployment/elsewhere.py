"""Times of a method's networks on another machine, by their multiply-adds, and the clock that tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from frugalmtl.channels.times import Machine, Timing
from frugalmtl.core.budget import Decision
from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.documents import read_json
from frugalmtl.core.schema import read
from frugalmtl.deployment.timing import deployed_with
from frugalmtl.evaluation.cost import count
from frugalmtl.model import MultiTaskModel

FORMAT = 1
"""Number of the format of kits and latency files."""
BETWEEN = 3
"""Networks between the cheapest and the dearest that a kit holds."""
BEYOND = 0.001
"""Relative distance beyond the ends of the measured multiply-adds that is still taken for an end."""
REMEDY = "write it with calibrate.py of a kit that 'frugalmtl profile --config FILE --calibration-kit DIR' writes"


@dataclass(frozen=True)
class NetworkKind:
    """What the times of a method's networks depend on, as the config says it, but for what the method decides.

    Attributes:
        image_size: height and width.
        encoder: name of the method.
        backbone: its section, in one line, without weights.
        decoder: its section, in one line.
        tasks: output channels of every deployed task.
    """

    image_size: tuple[int, int]
    encoder: str
    backbone: str
    decoder: str
    tasks: dict[str, int]

    def require(self, wanted: NetworkKind, path: str) -> None:
        """Refuse another network.

        Args:
            wanted: the network whose time is asked for.
            path: the file that these are the facts of.

        Raises:
            UserError: they differ; the message names the first fact in which they do.
        """
        for item in fields(self):
            here, there = getattr(wanted, item.name), getattr(self, item.name)
            if here != there:
                raise UserError(
                    f"latency file {path} is of another network: its {item.name} is {there}, this experiment's {here}; "
                    f"{REMEDY} for this one"
                )


@dataclass(frozen=True)
class NetworkTime:
    """A network that was timed.

    Attributes:
        file: of the kit.
        words: what it is.
        macs: multiply-adds per image.
        milliseconds: median over the rounds, of one image.

    Raises:
        UserError: a number that is not positive.
    """

    file: str
    words: str
    macs: float
    milliseconds: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        positive(f"macs of {self.file}", self.macs)
        positive(f"milliseconds of {self.file}", self.milliseconds)


@dataclass(frozen=True)
class NetworkTimes:
    """Times of a method's networks on one machine: the content of a latency file.

    Attributes:
        machine: that they were measured on.
        network: what the networks have in common.
        rounds: interleaved rounds that the medians are over.
        networks: at least two.
        batch: images at a time in the timings.
        timings: of single layers, where the method's prices are in time; the file is a table of layer times as well.

    Raises:
        UserError: fewer networks.
    """

    machine: Machine
    network: NetworkKind
    rounds: int
    networks: list[NetworkTime]
    batch: int = 1
    timings: list[Timing] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check that there is something to read times off."""
        positive("rounds", self.rounds)
        if len({one.macs for one in self.networks}) < 2:
            raise UserError("networks must be two or more, of different multiply-adds")

    def at(self, macs: float) -> float:
        """Milliseconds of a network of so many multiply-adds, on the line between the measured ones beside it.

        Raises:
            UserError: more or fewer than any network that was measured.
        """
        by_macs: dict[float, list[float]] = {}
        for one in self.networks:
            by_macs.setdefault(one.macs, []).append(one.milliseconds)
        known = sorted(by_macs)
        if not (1 - BEYOND) * known[0] <= macs <= (1 + BEYOND) * known[-1]:
            raise UserError(
                f"networks from {known[0] / 1e9:.4g} to {known[-1] / 1e9:.4g} G multiply-adds were timed, but this one "
                f"has {macs / 1e9:.4g} G"
            )
        return float(np.interp(macs, known, [np.mean(by_macs[each]) for each in known]))

    @classmethod
    def read(cls, path: str | Path) -> NetworkTimes:
        """Read a latency file.

        Raises:
            UserError: no such file, or it is damaged or of another format.
        """
        content: dict[str, Any] = read_json(path, "latency file", remedy=REMEDY)
        if content.get("format") != FORMAT:
            raise UserError(f"latency file {path} is not of format {FORMAT}: {REMEDY}")
        return read(cls, {key: value for key, value in content.items() if key != "format"}, str(path))


@dataclass(frozen=True)
class LatencyFile:
    """The file that a budget of time is held against, and the network that it must be of; not read before it is needed.

    Attributes:
        path: the file.
        network: see :class:`NetworkKind`.
    """

    path: str
    network: NetworkKind

    def times(self) -> NetworkTimes:
        """The file's content.

        Raises:
            UserError: no such file, a damaged one, or one of another network.
        """
        times = NetworkTimes.read(self.path)
        times.network.require(self.network, self.path)
        return times


@dataclass
class FileClock:
    """A clock that reads the time of a model off a latency file, at the multiply-adds of the model as deployed.

    Attributes:
        model: trained, or in training.
        file: see :class:`LatencyFile`.
        times: its content.
        between: see :class:`~frugalmtl.core.budget.Clock`: as many as the file holds.
    """

    model: MultiTaskModel
    file: LatencyFile
    times: NetworkTimes
    between: int = BETWEEN

    @property
    def place(self) -> str:
        """See :class:`~frugalmtl.core.budget.Clock`."""
        machine = self.times.machine
        return f"the machine of {self.file.path} ({machine.name}, {machine.threads} threads) in {machine.runtime}"

    def __call__(self, decisions: Sequence[Decision] = ()) -> list[float]:
        """See :class:`~frugalmtl.core.budget.Clock`.

        Raises:
            UserError: a network beyond those that were timed.
        """
        counts = [count(each, self.file.network.image_size).macs for each in deployed_with(self.model, decisions)]
        try:
            return [self.times.at(macs) for macs in counts]
        except UserError as error:
            raise UserError(f"latency file {self.file.path} is of another network: {error}; {REMEDY}") from None
