"""Rendering of a labelled picture of a room from a seed, alone or as a clip."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalmtl_rooms import labels
from frugalmtl_rooms.scene.assembly import build, stream
from frugalmtl_rooms.scene.description import Scene
from frugalmtl_rooms.shading.radiance import radiance, tone
from frugalmtl_rooms.visibility.antialias import outlines, smooth
from frugalmtl_rooms.visibility.camera import View
from frugalmtl_rooms.visibility.hits import first_hits
from frugalmtl_rooms.visibility.surface import surfaces

_NOISE = 5


class RenderError(ValueError):
    """An argument that cannot be rendered, in one line."""


@dataclass(frozen=True)
class RoomSample:
    """One picture with exact labels. H x W pixels, K attributes.

    Args:
        image: [H, W, 3] display colours.
        segmentation: [H, W] class, see CLASSES.
        depth: [H, W] metres along the viewing axis (z, not the length of the ray).
        normals: [H, W, 3] unit normals in the camera frame: x right, y up, z towards the camera.
        edges: [H, W] outlines of instances.
        saliency: [H, W] objects a viewer looks at first.
        human_parts: [H, W] see PARTS; above 0 exactly where the class is person.
        attributes: [K] see ATTRIBUTES.
        instances: [H, W] object numbers; 1..6 are the planes of the room.
    """

    image: NDArray[np.uint8]
    segmentation: NDArray[np.uint8]
    depth: NDArray[np.float32]
    normals: NDArray[np.float32]
    edges: NDArray[np.bool_]
    saliency: NDArray[np.bool_]
    human_parts: NDArray[np.uint8]
    attributes: NDArray[np.bool_]
    instances: NDArray[np.int32]


def render(seed: int, size: int | tuple[int, int] = 128, time: float = 0.0, shifted: bool = False) -> RoomSample:
    """The picture of a seed at a moment.

    The same arguments give the same bits in every process and with any number of threads. Labels come from the ray
    through the middle of each pixel; only the image is smoothed.

    Args:
        seed: number of the room, at least 0.
        size: height and width in pixels, or one number for both; at least 16.
        time: moment of the clip, 0 to 1; people, balls and the camera move with it.
        shifted: same rooms with other materials, lights and lenses (wider, with radial distortion), and more noise.

    Raises:
        RenderError: an argument is out of range.
    """
    height, width = _checked(seed, size, time)
    noise = stream(seed, _NOISE, int(shifted), *struct.unpack("<II", struct.pack("<d", time)))
    return render_scene(build(seed, time, shifted), height, width, noise)


def clip(seed: int, frames: int, size: int | tuple[int, int] = 128, shifted: bool = False) -> Iterator[RoomSample]:
    """Frames of a clip, evenly spaced from time 0 to 1; noise differs from frame to frame.

    Raises:
        RenderError: an argument is out of range.
    """
    if frames < 1:
        raise RenderError(f"frames must be at least 1, but got {frames!r}")
    _checked(seed, size, 0.0)
    return (render(seed, size, k / max(1, frames - 1), shifted) for k in range(frames))


def render_scene(scene: Scene, height: int, width: int, noise: np.random.Generator) -> RoomSample:
    """The picture of a scene with sensor noise from the generator."""
    with np.errstate(all="ignore"):
        view = View.of(scene.camera, height, width)
        depth, index, rays = first_hits(scene, view)
        flat = index.ravel()
        surface = surfaces(scene, view, depth.ravel(), flat, rays.reshape(3, -1))
        colour = tone(scene, radiance(scene, view, depth.ravel(), flat, surface))
        colour = smooth(scene, view, index, surface.normal, colour)
        normals = np.empty((height * width, 3), np.float32)
        for k, sign in ((0, 1), (1, 1), (2, -1)):
            axis = view.basis[k] * np.float32(sign)
            normals[:, k] = axis[0] * surface.normal[0] + axis[1] * surface.normal[1] + axis[2] * surface.normal[2]
    colour = np.clip(colour, 0, 1)
    image = _develop(scene, colour, noise).reshape(height, width, 3)
    instance = scene.instance[flat]
    instances = instance.reshape(height, width)
    parts = scene.part[flat].astype(np.uint8).reshape(height, width)
    return RoomSample(
        image=image,
        segmentation=scene.instance_class[instance].astype(np.uint8).reshape(height, width),
        depth=depth,
        normals=normals.reshape(height, width, 3),
        edges=outlines(instances),
        saliency=labels.saliency(scene, instances, colour),
        human_parts=parts,
        attributes=labels.attributes(scene, instances, parts, image),
        instances=instances,
    )


def _develop(scene: Scene, colour: NDArray[np.float32], noise: np.random.Generator) -> NDArray[np.uint8]:
    """Add sensor noise and round to bytes; [3, n] to [n, 3]."""
    grain = noise.standard_normal(colour.shape, dtype=np.float32)
    noisy = colour + grain * np.float32(scene.finish.noise)
    return (np.clip(noisy, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8).T.copy()


def _checked(seed: int, size: int | tuple[int, int], time: float) -> tuple[int, int]:
    height, width = size if isinstance(size, tuple) else (size, size)
    if seed < 0:
        raise RenderError(f"seed must be at least 0, but got {seed!r}")
    if height < 16 or width < 16:
        raise RenderError(f"size must be at least 16 x 16 pixels, but got {height} x {width}")
    if not 0.0 <= time <= 1.0:
        raise RenderError(f"time must lie in [0, 1], but got {time!r}")
    return height, width
