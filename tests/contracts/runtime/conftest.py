"""An experiment of a toy router with two operating points, which no code outside its file knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import EXPERIMENT
from tests.support.toys.adding import add_toys


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Its config; as long as the tests of a module run, the registry knows the toy."""
    data = {"name": "rooms", "size": "tiny", "train": 24, "val": 4, "test": 4, "shifted": 4}
    with pytest.MonkeyPatch.context() as patch:
        add_toys(patch, tmp_path_factory.mktemp("toys"), "toy_router")
        patch.setattr("os.fsync", lambda _: None)
        yield {
            **EXPERIMENT,
            "data": {**data, "cache": str(tmp_path_factory.mktemp("rooms"))},
            "image_size": [32, 32],
            "backbone": {"name": "cifar_resnet", "depth": 20},
            "encoder": {"name": "toy_router", "points": ["0.3x", "0.4x"]},
            "train": {"epochs": 1, "batch_size": 4, "optimizer": {"name": "adam", "lr": 0.01}, "workers": 0},
        }
