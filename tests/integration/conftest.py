"""A minute world: sixteen rooms of 64 pixels and a backbone of 8 thousand parameters' width."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

EXPERIMENT: dict[str, Any] = {
    "name": "tiny",
    "data": {"name": "rooms", "size": "tiny", "train": 8, "val": 4, "test": 4, "shifted": 4},
    "tasks": ["segmentation", "depth"],
    "backbone": {"name": "timm", "model": "test_resnet"},
    "encoder": {"name": "hard_sharing"},
    "decoder": {"name": "independent", "head": "linear"},
    "balancer": {"name": "fixed"},
    "train": {"epochs": 1, "batch_size": 4, "optimizer": {"name": "adam", "lr": 1.0e-3}},
}


@pytest.fixture(scope="session")
def room_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered rooms that all tests of a process share."""
    return tmp_path_factory.mktemp("rooms")


@pytest.fixture
def experiment(room_cache: Path) -> dict[str, Any]:
    """A config as a mapping, to be changed at will."""
    content = copy.deepcopy(EXPERIMENT)
    content["data"]["cache"] = str(room_cache)
    return content


def write_config(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path
