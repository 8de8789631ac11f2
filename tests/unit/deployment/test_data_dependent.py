"""Data-dependent modules keep all that another input may use, and what their arguments are computed by."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.deployment.fold import ChannelAffine, fold_batch_norms
from frugalmtl.deployment.observe import observe
from frugalmtl.deployment.prune import Unread, prune_dead
from frugalmtl.deployment.strip import strip_passive, strip_unused

Scramble = Callable[[nn.Module], None]
BRIGHT, DARK = torch.ones(2, 3, 8, 8), -torch.ones(2, 3, 8, 8)


def block() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())


class Router(nn.Module):
    """Two paths out of one container by index, the first for bright images; a probe whose output is thrown away."""

    data_dependent = True

    def __init__(self, container: type[nn.Sequential | nn.ModuleList]) -> None:
        super().__init__()
        parts = [nn.Dropout(0.5), block(), nn.Identity(), block()]
        self.paths = nn.Sequential(*parts) if container is nn.Sequential else nn.ModuleList(parts)
        self.probe = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        probed = self.probe(image)
        if image.mean() > 0:
            return self.paths[1](self.paths[0](image))
        return self.paths[3](self.paths[2](image)) + probed


class LevelRouter(nn.Module):
    """Reads one of the levels that it is called with."""

    data_dependent = True

    def forward(self, levels: list[Tensor]) -> Tensor:
        return levels[0] if levels[0].mean() > 0 else levels[1]


class Pyramid(nn.Module):
    """Two levels, of which a router reads one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.router = nn.Identity(), block(), LevelRouter()

    def forward(self, image: Tensor) -> Tensor:
        return self.router([self.first(image), self.second(image)])


class Borrowed(nn.Module):
    """A router whose second path is registered outside of it as well, where nothing calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.router = Router(nn.ModuleList)
        self.lent = self.router.paths[3]

    def forward(self, image: Tensor) -> Tensor:
        return self.router(image)


class SharedNorm(nn.Module):
    """One normalisation behind either of two convolutions."""

    data_dependent = True

    def __init__(self) -> None:
        super().__init__()
        self.high, self.low, self.norm = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.high(image) if image.mean() > 0 else self.low(image))


class LentNorm(nn.Module):
    """Two plain paths that end in the same normalisation."""

    data_dependent = True

    def __init__(self) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(3)
        self.high = nn.Sequential(nn.Conv2d(3, 3, 1), norm)
        self.low = nn.Sequential(nn.Conv2d(3, 3, 1), norm)

    def forward(self, image: Tensor) -> Tensor:
        return self.high(image) if image.mean() > 0 else self.low(image)


CASES: dict[str, Callable[[], nn.Module]] = {
    "indexed Sequential": lambda: Router(nn.Sequential),
    "indexed ModuleList": lambda: Router(nn.ModuleList),
    "in a Sequential": lambda: nn.Sequential(block(), Router(nn.Sequential), nn.Dropout(0.5)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Dropout(0.5), Router(nn.Sequential)), Router(nn.ModuleList)),
    "levels": Pyramid,
    "registered twice": Borrowed,
    "norm of two convolutions": SharedNorm,
    "norm of two paths": LentNorm,
}


def plain(module: nn.Module, example: Tensor) -> nn.Module:
    """All passes of ``deploy`` over a copy."""
    copy = deepcopy(module).eval()
    fold_batch_norms(copy, observe(copy, example))
    strip_passive(copy, observe(copy, example))
    prune_dead(copy, observe(copy, example))
    strip_unused(copy, observe(copy, example))
    return copy


@pytest.mark.parametrize("example", [BRIGHT, DARK], ids=["bright", "dark"])
@pytest.mark.parametrize("name", CASES)
def test_every_path_works_whichever_was_observed(name: str, example: Tensor, scramble_norms: Scramble) -> None:
    module = CASES[name]().eval()
    scramble_norms(module)
    deployed = plain(module, example)
    with torch.no_grad():
        for image in (BRIGHT, DARK, torch.randn(2, 3, 8, 8)):
            torch.testing.assert_close(deployed(image), module(image), rtol=0, atol=1e-5)
    assert not any(isinstance(part, Unread) for part in deployed.modules())


def test_nothing_leaves_a_router() -> None:
    router = Router(nn.Sequential)
    deployed = plain(router, BRIGHT)
    assert len(deployed.paths) == 4
    assert {type(path) for path in (deployed.paths[1], deployed.paths[3])} == {nn.Sequential}
    assert type(deployed.probe) is nn.Conv2d
    assert type(deployed.paths[3][1]) is nn.BatchNorm2d, "this path did not run"


def test_a_path_that_is_plain_itself_is_folded(scramble_norms: Scramble) -> None:
    router = Router(nn.ModuleList)
    scramble_norms(router)
    deployed = plain(router, BRIGHT)
    assert not any(isinstance(part, (nn.BatchNorm2d, ChannelAffine)) for part in deployed.paths[1].modules())
