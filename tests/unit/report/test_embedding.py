"""Pictures as data URIs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from frugalmtl.report.embedding import embed


def test_pictures_shrink_to_the_budget_and_keep_their_colours(tmp_path: Path) -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[:, 200:] = (250, 120, 10)
    Image.fromarray(picture).save(tmp_path / "map.png")
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    large = embed(["map.png", "photo.png"], tmp_path, {"photo.png"}, 10_000_000)
    small = embed(["map.png", "photo.png"], tmp_path, {"photo.png"}, 40_000)
    assert sum(map(len, small.values())) <= 40_000 < sum(map(len, large.values()))
    assert large["map.png"].startswith("data:image/png")
    assert large["photo.png"].startswith("data:image/jpeg")
