"""Exactness, ranges and determinism of rendered rooms."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from frugalmtl_rooms import ATTRIBUTES, CLASSES, PARTS, RenderError, RoomSample, clip, render
from frugalmtl_rooms.rendering import render_scene
from frugalmtl_rooms.scene.assembly import build
from frugalmtl_rooms.scene.description import Floats
from frugalmtl_rooms.visibility.camera import View

FIELDS = tuple(RoomSample.__dataclass_fields__)
VARIANTS = [(seed, shifted) for seed in (0, 3, 11, 42) for shifted in (False, True)]


def digest(sample: RoomSample) -> str:
    code = hashlib.sha256()
    for name in FIELDS:
        code.update(np.ascontiguousarray(getattr(sample, name)).tobytes())
    return code.hexdigest()


def camera_points(seed: int, sample: RoomSample, shifted: bool) -> Floats:
    """[H, W, 3] points in the camera frame of the normals (x right, y up, z towards the camera)."""
    height, width = sample.depth.shape
    view = View.of(build(seed, 0.0, shifted).camera, height, width)
    x, y = np.meshgrid(view.columns, view.rows)
    bend = 1 + view.distortion * (x * x + y * y)
    return np.stack([x * bend * sample.depth, y * bend * sample.depth, -sample.depth], -1)


@pytest.mark.parametrize(("seed", "shifted"), VARIANTS)
def test_shapes_types_and_ranges(seed: int, shifted: bool) -> None:
    s = render(seed, 64, shifted=shifted)
    assert s.image.shape == (64, 64, 3)
    assert s.image.dtype == np.uint8
    assert s.segmentation.dtype == np.uint8
    assert s.segmentation.max() < len(CLASSES)
    assert s.human_parts.dtype == np.uint8
    assert s.human_parts.max() < len(PARTS)
    assert s.depth.dtype == np.float32
    assert s.normals.dtype == np.float32
    assert s.instances.dtype == np.int32
    assert s.edges.dtype == s.saliency.dtype == s.attributes.dtype == np.bool_
    assert s.attributes.shape == (len(ATTRIBUTES),)
    assert np.isfinite(s.depth).all()
    assert s.depth.min() > 0
    assert s.depth.max() < 12


@pytest.mark.parametrize("size", [16, 64, 128, 256, (48, 80), (97, 61)])
def test_any_size(size: int | tuple[int, int]) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    s = render(5, size)
    assert s.image.shape == (height, width, 3)
    for name in ("segmentation", "depth", "edges", "saliency", "human_parts", "instances"):
        assert getattr(s, name).shape == (height, width)


def test_same_bits_again_and_in_another_process() -> None:
    cases = [(7, 64, 0.0, False), (8, 48, 0.37, True)]
    here = [digest(render(*case)) for case in cases]
    assert here == [digest(render(*case)) for case in cases]
    code = (
        "import hashlib, numpy as np\n"
        "from frugalmtl_rooms import render\n"
        f"for case in {cases!r}:\n"
        "    s = render(*case)\n"
        "    h = hashlib.sha256()\n"
        f"    [h.update(np.ascontiguousarray(getattr(s, n)).tobytes()) for n in {FIELDS!r}]\n"
        "    print(h.hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == here


def test_every_argument_matters() -> None:
    codes = {
        digest(render(1, 48)),
        digest(render(2, 48)),
        digest(render(1, 64)),
        digest(render(1, 48, 0.5)),
        digest(render(1, 48, 0.0, True)),
    }
    assert len(codes) == 5


@pytest.mark.parametrize(("seed", "shifted"), VARIANTS)
def test_normals_are_unit_and_face_the_camera(seed: int, shifted: bool) -> None:
    s = render(seed, 96, shifted=shifted)
    assert np.abs(np.linalg.norm(s.normals, axis=-1) - 1).max() < 1e-4
    points = camera_points(seed, s, shifted)
    facing = (s.normals * points).sum(-1) / np.linalg.norm(points, axis=-1)
    assert facing.max() < 1e-5


@pytest.mark.parametrize(("seed", "shifted"), VARIANTS)
def test_depth_and_normals_of_a_wall_describe_one_plane(seed: int, shifted: bool) -> None:
    s = render(seed, 96, shifted=shifted)
    points = camera_points(seed, s, shifted)
    tested = 0
    for plane in range(1, 7):
        mask = s.instances == plane
        if mask.sum() < 30:
            continue
        tested += 1
        normal = s.normals[mask][0]
        assert np.abs(s.normals[mask] - normal).max() < 1e-6
        offsets = points[mask] @ normal
        assert np.ptp(offsets) < 1e-3
    assert tested >= 1


def test_normals_agree_with_depth_on_curved_things() -> None:
    # Tangents by central differences inside one instance are perpendicular to the normal.
    s = render(3, 256)
    points = camera_points(3, s, False).astype(np.float64)
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    cross = np.cross(across, down)
    numeric = -cross / np.linalg.norm(cross, axis=-1, keepdims=True)
    agree = np.abs((numeric * s.normals[1:-1, 1:-1]).sum(-1))
    inside = ~s.edges[1:-1, 1:-1] & (s.human_parts[1:-1, 1:-1] > 0)
    assert inside.sum() > 2000
    assert np.quantile(agree[inside], 0.25) > 0.95


@pytest.mark.parametrize("seed", range(12))
def test_parts_are_where_people_are(seed: int) -> None:
    s = render(seed, 64)
    assert_array_equal(s.human_parts > 0, s.segmentation == CLASSES.index("person"))


@pytest.mark.parametrize("size", [64, 128])
def test_labels_of_a_smaller_image_are_among_those_of_a_larger_one(size: int) -> None:
    for seed in range(6):
        small, large = render(seed, size), render(seed, 2 * size)
        blocks = large.segmentation.reshape(size, 2, size, 2)
        same = (blocks == small.segmentation[:, None, :, None]).any((1, 3))
        assert same.mean() > 0.985
        near = np.abs(large.depth.reshape(size, 2, size, 2).mean((1, 3)) - small.depth) < 0.05 * small.depth
        assert near.mean() > 0.9


def test_time_moves_things_and_a_still_camera_keeps_the_room() -> None:
    still = moving = 0
    for seed in range(30):
        first, last = build(seed, 0.0), build(seed, 1.0)
        if first.camera != last.camera:
            continue
        still += 1
        a, b = render(seed, 48, 0.0), render(seed, 48, 1.0)
        same = (a.instances == b.instances) & (a.instances <= 6)
        assert_array_equal(a.depth[same], b.depth[same])
        assert_array_equal(a.normals[same], b.normals[same])
        # Noise is drawn anew, so even what stands still differs in brightness.
        assert (a.image[same] != b.image[same]).mean() > 0.2
        moving += int((a.instances != b.instances).any())
    assert still >= 3
    assert moving >= 1


def test_noise_changes_the_image_and_no_label() -> None:
    scene = build(4)
    a, b = (render_scene(scene, 48, 48, np.random.default_rng(k)) for k in (1, 2))
    assert (a.image != b.image).mean() > 0.3
    assert np.abs(a.image.astype(int) - b.image.astype(int)).mean() < 12
    for name in FIELDS[1:]:
        assert_array_equal(getattr(a, name), getattr(b, name))


def test_clip_spans_time_from_zero_to_one() -> None:
    frames = list(clip(9, 3, 32))
    assert [digest(f) for f in frames] == [digest(render(9, 32, t)) for t in (0.0, 0.5, 1.0)]
    assert len(list(clip(9, 1, 32))) == 1


def test_neighbouring_frames_are_alike() -> None:
    for seed in (2, 5):
        frames = list(clip(seed, 9, 48))
        step = np.mean([(a.segmentation == b.segmentation).mean() for a, b in pairwise(frames)])
        assert step > 0.85
        assert step > (frames[0].segmentation == frames[-1].segmentation).mean() - 1e-9


def test_shifted_pictures_differ_and_labels_keep_their_ranges() -> None:
    plain, shifted = ([render(seed, 32, shifted=flag) for seed in range(60)] for flag in (False, True))

    def colourfulness(samples: list[RoomSample]) -> float:
        return float(np.mean([np.ptp(s.image.astype(float), axis=-1).mean() for s in samples]))

    assert colourfulness(shifted) > 1.25 * colourfulness(plain)
    a, b = (np.mean([s.image.mean() for s in group]) for group in (plain, shifted))
    assert b < a - 5
    assert np.mean([s.depth.mean() for s in shifted]) < 12
    for group in (plain, shifted):
        assert set(np.unique(np.concatenate([s.segmentation.ravel() for s in group]))) == set(range(len(CLASSES)))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [((-1, 64), "seed"), ((0, 8), "size"), ((0, (64, 4)), "size"), ((0, 64, 1.5), "time"), ((0, 64, -0.1), "time")],
)
def test_wrong_arguments_are_named(arguments: tuple[object, ...], word: str) -> None:
    with pytest.raises(RenderError, match=word):
        render(*arguments)  # type: ignore[arg-type]


def test_mistakes_are_value_errors() -> None:
    assert issubclass(RenderError, ValueError)


def test_a_clip_needs_a_frame() -> None:
    with pytest.raises(RenderError, match="frames"):
        clip(0, 0)
