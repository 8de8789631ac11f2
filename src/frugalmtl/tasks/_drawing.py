"""Colours of labels and predictions."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from frugalmtl.tasks.base import ColourScale, Image

# Tableau's ten colours, then ten light and dark ones that differ from them and from one another; further classes walk
# round the hue circle by the golden angle.
_FIRST = (
    "4e79a7 f28e2b 59a14f e15759 76b7b2 edc948 b07aa1 9c755f ff9da7 bab0ac "
    "a0cbe8 ffd8a8 b8e994 8b1e3f 1b5e5a 3b3b6d 2f6f2f 6b3d1e e0d7f5 303030"
).split()

_DEPTH = "magma"
"""Matplotlib's name of the colours of depth."""


def palette(count: int, *, background: bool = False) -> Image:
    """``[count, 3]`` colours; with ``background`` the first one is black."""
    colours = [tuple(int(code[i : i + 2], 16) for i in (0, 2, 4)) for code in _FIRST]
    for index in range(len(colours), count):
        red, green, blue = colorsys.hsv_to_rgb(
            (index * 0.381966) % 1.0, 0.55 + 0.3 * (index % 2), 0.9 - 0.25 * (index % 3) / 2
        )
        colours.append((int(255 * red), int(255 * green), int(255 * blue)))
    if background:
        colours = [(0, 0, 0), *colours]
    return np.array(colours[:count], dtype=np.uint8)


def legend_of(classes: Sequence[str], colours: Image) -> dict[str, str]:
    """``{class: "#rrggbb"}``.

    >>> legend_of(["wall", "floor"], palette(2))
    {'wall': '#4e79a7', 'floor': '#f28e2b'}
    """
    return {
        name: "#" + "".join(f"{part:02x}" for part in colour) for name, colour in zip(classes, colours, strict=True)
    }


def draw_classes(classes: Tensor, colours: Image, ignore: int | None) -> Image:
    """Class map ``[H, W]`` -> picture; ignored pixels are white."""
    indices = classes.detach().cpu().numpy()
    known = (indices >= 0) & (indices < len(colours))
    if ignore is not None:
        known &= indices != ignore
    picture = np.full((*indices.shape, 3), 255, dtype=np.uint8)
    picture[known] = colours[indices[known]]
    return picture


def depth_colours(count: int = 256) -> str:
    """Colours from far to near, as one text of ``count`` codes ``rrggbb``."""
    from matplotlib import colormaps

    shades = (colormaps[_DEPTH](np.arange(count) / count)[:, :3] * 255).astype(np.uint8)
    return shades.tobytes().hex()


def depth_scale(maps: Sequence[Tensor]) -> ColourScale:
    """One scale of 1/depth for several maps ``[1, H, W]`` in metres: their 2nd to 98th percentile, near is bright."""
    inverse = torch.cat([_inverse(depth)[depth.detach().float().cpu()[0] > 0] for depth in maps])
    # Percentiles of every n-th pixel: torch.quantile takes no more than 16 million.
    inverse = inverse[:: max(1, inverse.numel() // 1_000_000)]
    far, near = (
        torch.quantile(inverse, torch.tensor([0.02, 0.98])).tolist() if inverse.numel() else (_FARTHEST, 1 / _NEAREST)
    )
    near = max(near, far + 1e-6)
    return ColourScale(
        low=1 / near,
        high=1 / max(far, _FARTHEST),
        unit="m",
        draw=partial(_draw_inverse, far=far, near=near),
        value_at=lambda place: 1 / max(near + place * (far - near), _FARTHEST),
    )


_NEAREST, _FARTHEST = 1e-3, 1e-6
"""Metres of the nearest depth that is drawn, and 1/metres of the farthest."""


def _inverse(depth: Tensor) -> Tensor:
    return 1.0 / depth.detach().float().cpu()[0].clamp(min=_NEAREST)


def _draw_inverse(depth: Tensor, far: float, near: float) -> Image:
    """Depth ``[1, H, W]`` on a scale of 1/metres; pixels without one are black."""
    from matplotlib import colormaps

    level = ((_inverse(depth) - far) / (near - far)).clamp(0, 1).numpy()
    picture: Image = (colormaps[_DEPTH](level)[..., :3] * 255).astype(np.uint8)
    picture[~(depth.detach().float().cpu()[0] > 0).numpy()] = 0
    return picture


def draw_depth(depth: Tensor) -> Image:
    """Depth ``[1, H, W]`` in metres -> picture on a scale of its own (:func:`depth_scale`)."""
    return depth_scale([depth]).draw(depth)


def draw_normals(normals: Tensor) -> Image:
    """Normals ``[3, H, W]`` -> picture, (n + 1) / 2; pixels without a value are black."""
    vectors = normals.detach().float().cpu()
    picture: Image = ((vectors * 0.5 + 0.5).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy().copy()
    picture[vectors.norm(dim=0).numpy() < 1e-3] = 0
    return picture


def draw_probability(probability: Tensor) -> Image:
    """Map ``[1, H, W]`` in [0, 1] -> grey picture."""
    grey = (probability.detach().float().cpu()[0].clamp(0, 1) * 255).byte().numpy()
    return np.repeat(grey[..., None], 3, axis=-1)
