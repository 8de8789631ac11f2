"""Ray casting against brute force: hits lie on surfaces, bounds lose nothing, things stay in the room."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from frugalmtl_rooms.scene.assembly import build
from frugalmtl_rooms.scene.description import BOX, CAPSULE, CYLINDER, ELLIPSOID, LABEL, SHELL_PLANES, Floats, Scene
from frugalmtl_rooms.shading.radiance import radiance, tone
from frugalmtl_rooms.visibility.antialias import smooth
from frugalmtl_rooms.visibility.camera import View
from frugalmtl_rooms.visibility.hits import HIT, first_hits, pair_hits
from frugalmtl_rooms.visibility.surface import surfaces


def inside(kind: int, p: Floats, s: Floats, grow: float) -> Floats:
    """Whether points [3, n] lie in a primitive blown up by a factor."""
    s = s * np.array([grow, grow, grow if kind != CYLINDER else 1.0])[:, None]
    if kind == BOX:
        return (np.abs(p) <= s).all(0)
    if kind == ELLIPSOID:
        return ((p / s) ** 2).sum(0) <= 1
    radius = np.hypot(p[0], p[2])
    if kind == CYLINDER:
        return (radius <= grow * (s[0] / grow + s[2] * p[1])) & (np.abs(p[1]) <= s[1])
    rest = np.maximum(np.abs(p[1]) - s[1] / grow, 0)
    return np.hypot(radius, rest) <= s[0]


@pytest.mark.parametrize("kind", [BOX, ELLIPSOID, CYLINDER, CAPSULE])
@pytest.mark.parametrize("taper", [0.0, 0.4, -0.5])
def test_hits_are_the_first_points_inside(kind: int, taper: float) -> None:
    rng = np.random.default_rng(kind)
    n = 400
    size = np.array([0.4, 0.6, taper if kind == CYLINDER else 0.3])[:, None]
    origin = rng.normal(size=(3, n))
    origin *= 3 / np.linalg.norm(origin, axis=0)
    aim = rng.uniform(-0.7, 0.7, size=(3, n)) - origin
    with np.errstate(all="ignore"):
        t = HIT[kind](origin, aim, size)
    steps = np.linspace(0, 2, 4001)[:, None]
    along = origin[:, None, :] + steps * aim[:, None, :]
    flat = along.reshape(3, -1)
    within = inside(kind, flat, size, 1.0).reshape(len(steps), n)
    expected = np.where(within.any(0), steps[within.argmax(0), 0], np.inf)
    hit = np.isfinite(expected)
    assert 50 < hit.sum() < n
    # The march may step over a grazed rim; where it finds a point the ray must be hit just before it.
    assert np.isfinite(t[hit]).all()
    assert (t[hit] <= expected[hit] + 1e-9).all()
    assert np.quantile(expected[hit] - t[hit], 0.95) < 6e-4
    missed = ~hit & np.isfinite(t)
    assert missed.sum() < 0.03 * n
    surface = (origin + t * aim)[:, np.isfinite(t)]
    assert inside(kind, surface, size, 1.001).all()


@pytest.mark.parametrize(("seed", "shifted"), [(0, False), (2, False), (5, False), (0, True), (2, True), (5, True)])
def test_bounds_lose_no_pixel(seed: int, shifted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = build(seed, 0.3, shifted)
    view = View.of(scene.camera, 40, 56)
    with np.errstate(all="ignore"):
        depth, surface, _ = first_hits(scene, view)
        everything = np.tile(np.array([0, 40, 0, 56], np.int32), (len(scene.kind), 1))
        monkeypatch.setattr(View, "bounds", lambda self, scene: everything)
        brute_depth, brute_surface, _ = first_hits(scene, view)
    assert_array_equal(surface, brute_surface)
    assert_array_equal(depth, brute_depth)


def test_pairs_agree_with_windows() -> None:
    scene = build(1)
    view = View.of(scene.camera, 48, 48)
    with np.errstate(all="ignore"):
        depth, surface, rays = first_hits(scene, view)
        solid = np.flatnonzero(surface.ravel() >= SHELL_PLANES)
        primitive = surface.ravel()[solid] - SHELL_PLANES
        origin = np.einsum("pw,pwl->lp", view.eye - scene.centre, scene.axes)[:, primitive]
        t = pair_hits(scene, primitive, origin, rays.reshape(3, -1)[:, solid])
    assert np.abs(t - depth.ravel()[solid]).max() < 2e-3


def _spans(scene: Scene, name: str) -> list[tuple[Floats, Floats]]:
    """Middles and greatest radii of the primitives of one class."""
    which = scene.instance_class[scene.instance[SHELL_PLANES:]] == LABEL[name]
    return list(zip(scene.centre[which], scene.size[which], strict=True))


def test_balls_and_people_stay_in_the_room_while_they_move() -> None:
    moved = 0
    for seed in range(40):
        scenes = [build(seed, t) for t in (0.0, 0.5, 1.0)]
        for scene in scenes:
            width, _, depth = scene.room
            for centre, size in _spans(scene, "ball"):
                assert size[0] - 1e-3 <= centre[0] <= width - size[0] + 1e-3
                assert size[0] - 1e-3 <= centre[2] <= depth - size[0] + 1e-3
                assert centre[1] >= size[0] - 1e-3
            for centre, _ in _spans(scene, "person"):
                assert -0.35 <= centre[0] <= width + 0.35
                assert -0.35 <= centre[2] <= depth + 0.35
            eye = scene.camera.eye
            assert 0 < eye[0] < width
            assert 0 < eye[2] < depth
        first, last = (np.array([c for c, _ in _spans(s, "ball")]) for s in (scenes[0], scenes[-1]))
        assert first.shape == last.shape
        moved += int(first.size > 0 and np.abs(first - last).max() > 0.2)
    assert moved >= 5


def test_a_scene_keeps_its_objects_through_time() -> None:
    for seed in range(20):
        a, b = build(seed, 0.0), build(seed, 0.8)
        for field in dataclasses.fields(Scene):
            if field.name in ("centre", "axes", "camera"):
                continue
            x, y = getattr(a, field.name), getattr(b, field.name)
            if isinstance(x, np.ndarray):
                assert np.allclose(x, y, atol=1e-4), field.name
            elif field.name != "lights":
                assert x == y, field.name


def test_the_shifted_room_has_the_same_layout() -> None:
    for seed in range(10):
        a, b = build(seed), build(seed, shifted=True)
        assert_array_equal(a.kind, b.kind)
        assert_array_equal(a.centre, b.centre)
        assert a.materials != b.materials
        assert a.camera.field_of_view < b.camera.field_of_view
        assert a.camera.distortion == 0 < b.camera.distortion


def test_stages_stay_in_single_precision() -> None:
    # One silent promotion would double the time of everything after it.
    for shifted in (False, True):
        scene = build(2, 0.0, shifted)
        view = View.of(scene.camera, 32, 32)
        with np.errstate(all="ignore"):
            depth, index, rays = first_hits(scene, view)
            surface = surfaces(scene, view, depth.ravel(), index.ravel(), rays.reshape(3, -1))
            light = radiance(scene, view, depth.ravel(), index.ravel(), surface)
            shown = tone(scene, light)
            final = smooth(scene, view, index, surface.normal, shown)
        for stage in (depth, rays, *surface, light, shown, final):
            assert stage.dtype == np.float32
