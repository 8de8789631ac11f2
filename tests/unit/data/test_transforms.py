"""Transforms of images and labels of every kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data import Augmentation, Sample, Transform
from frugalmtl.tasks import TASKS, Task

TASK_LIST: tuple[Task, ...] = (
    TASKS.build({"name": "segmentation", "classes": tuple("abcd")}),
    TASKS.build("depth"),
    TASKS.build("normals"),
    TASKS.build("edges"),
    TASKS.build("human_parts"),
    replace(TASKS.build({"name": "classification", "classes": tuple("pqr")}), name="attributes"),
    replace(TASKS.build({"name": "classification", "classes": tuple("pqr"), "exclusive": True}), name="scene"),
)
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
seeds = st.integers(0, 2**62)
quick = settings(max_examples=40, deadline=None)


def make(height: int = 12, width: int = 16, seed: int = 0) -> Sample:
    source = torch.Generator().manual_seed(seed)

    def numbers(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=source)

    normals = torch.nn.functional.normalize(torch.randn(3, height, width, generator=source), dim=0)
    normals[:, 0, 0] = 0.0
    depth = torch.rand(1, height, width, generator=source) + 0.5
    depth[0, -1, -1] = 0.0
    depth[0, 0, -1] = float("nan")
    segmentation = numbers(0, 4, height, width)
    segmentation[1, 1] = 255
    labels = {
        "segmentation": segmentation,
        "depth": depth,
        "normals": normals,
        "edges": numbers(0, 2, 1, height, width).float(),
        "human_parts": numbers(0, 7, height, width),
        "attributes": torch.tensor([1.0, 0.0, 255.0]),
        "scene": torch.tensor(2),
    }
    return Sample(numbers(0, 256, 3, height, width).to(torch.uint8), labels, "made")


def mirrored(sample: Sample) -> Sample:
    """The sample of the mirrored scene, worked out by hand."""
    labels = {name: label.flip(-1) if label.ndim > 1 else label for name, label in sample.labels.items()}
    labels["normals"] = labels["normals"] * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    return Sample(sample.image.flip(-1), labels, sample.name)


def same(one: object, other: object) -> None:
    torch.testing.assert_close(vars(one) | {"name": 0}, vars(other) | {"name": 0}, rtol=0, atol=0)


FLIP = Augmentation(hflip=1.0)


def test_without_augmentation_labels_are_as_stored() -> None:
    sample = make()
    example = Transform(TASK_LIST, (12, 16), **PLAIN)(sample)
    torch.testing.assert_close(example.image, sample.image / 255)
    for task in TASK_LIST:
        label, valid = sample.labels[task.name], example.valid[task.name]
        assert torch.equal(valid, task.valid(label))
        shown = torch.where(valid, label, torch.zeros_like(label))
        torch.testing.assert_close(example.targets[task.name], shown)
    assert not example.valid["segmentation"][1, 1]
    assert not example.valid["normals"][0, 0]
    assert not example.valid["depth"][-1, -1]
    assert example.valid["attributes"].tolist() == [True, True, False]
    assert all(torch.isfinite(target.float()).all() for target in example.targets.values())


def test_flip_is_the_mirrored_scene_and_its_own_inverse() -> None:
    sample = make()
    plain, flip = Transform(TASK_LIST, (12, 16)), Transform(TASK_LIST, (12, 16), FLIP)
    same(flip(sample), plain(mirrored(sample)))
    same(flip(mirrored(sample)), plain(sample))


@quick
@given(seeds, st.sampled_from(["resize", "pad"]), st.sampled_from(["clean", "reference"]), st.sampled_from([0.0, 25.0]))
def test_flip_comes_first_whatever_follows(seed: int, fit: str, fill: str, rotate: float) -> None:
    options = {"fit": fit, "fill": fill}
    settings_ = Augmentation(hflip=1.0, scale=(0.5, 2.0), rotate=rotate, crop="random", contrast=0.3)
    straight = replace(settings_, hflip=0.0)
    sample = make()
    same(
        Transform(TASK_LIST, (10, 10), settings_, **options)(sample, seed),
        Transform(TASK_LIST, (10, 10), straight, **options)(mirrored(sample), seed),
    )


@quick
@given(seeds, st.booleans())
def test_targets_are_zero_and_masks_false_outside_the_image(seed: int, pad: bool) -> None:
    transform = Transform(
        TASK_LIST, (14, 14), Augmentation(scale=(0.3, 1.2), rotate=40.0, crop="random"), fit="pad" if pad else "resize"
    )
    sample = make()
    sample.labels["edges"].fill_(1.0)
    sample.labels["segmentation"].fill_(3)
    example = transform(sample, seed)
    support = example.valid["edges"]
    assert torch.equal(example.targets["edges"][0], support.float())
    assert torch.equal(example.targets["segmentation"], support.long() * 3)
    assert torch.equal(example.valid["segmentation"], support)
    assert (example.image * ~support == 0).all()  # painted in the mean colour
    for name in ("depth", "normals", "human_parts"):
        assert not (example.valid[name] & ~support).any()
        assert (example.targets[name] * ~example.valid[name] == 0).all()


def test_reference_fill_counts_corners_as_the_survey_code_does() -> None:
    sample = make(16, 16)
    settings_ = Augmentation(hflip=0.0, scale=[0.5])
    clean = Transform(TASK_LIST, 16, settings_, **PLAIN)(sample)
    reference = Transform(TASK_LIST, 16, settings_, fill="reference", **PLAIN)(sample)
    corner = (0, 0)
    for name in ("segmentation", "edges", "human_parts"):
        assert reference.valid[name][corner]
        assert not clean.valid[name][corner]
    for name in ("depth", "normals"):
        assert not reference.valid[name][corner]
    assert reference.image[:, 0, 0].tolist() == [0.0, 0.0, 0.0]
    normalised = Transform(TASK_LIST, 16, settings_)(sample)
    assert normalised.image[:, 0, 0].tolist() == [0.0, 0.0, 0.0]  # clean: the mean colour, which is 0 when normalised


@pytest.mark.parametrize("fit", ["resize", "pad"])
def test_magnifying_divides_depth(fit: str) -> None:
    sample = make(16, 16)
    sample.labels["depth"] = torch.full((1, 16, 16), 3.0)
    example = Transform(TASK_LIST, 16, Augmentation(hflip=0.0, scale=[1.5]), fit=fit)(sample)
    assert example.targets["depth"].unique().tolist() == [2.0]
    wide = Transform(TASK_LIST, (16, 32), None)(sample)  # a stretch to the network's size is not a magnification
    assert wide.targets["depth"].unique().tolist() == [3.0]


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_quarter_turn_of_normals_agrees_with_the_turned_scene(sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = make(9, 9)
    monkeypatch.setattr("random.Random.uniform", lambda _self, _low, _high: float(sign))
    example = Transform(TASK_LIST, 9, Augmentation(hflip=0.0, rotate=90.0))(sample)
    x, y, z = torch.rot90(sample.labels["normals"], sign, (-2, -1)).unbind(0)
    # Counter-clockwise: what pointed right points up; what pointed up points left.
    expected = torch.stack([-sign * y, sign * x, z])
    torch.testing.assert_close(example.targets["normals"], expected, atol=1e-6, rtol=0)
    assert torch.equal(
        example.targets["segmentation"] == 0, torch.rot90(sample.labels["segmentation"] % 255 == 0, sign, (-2, -1))
    )


@quick
@given(seeds)
def test_normals_stay_unit_after_interpolation(seed: int) -> None:
    example = Transform(TASK_LIST, (17, 23), Augmentation(scale=(0.7, 1.9), rotate=30.0))(make(), seed)
    lengths = example.targets["normals"].norm(dim=0)
    torch.testing.assert_close(lengths, example.valid["normals"].float(), atol=1e-5, rtol=0)


def test_a_sphere_turns_into_itself() -> None:
    y, x = torch.meshgrid(torch.linspace(0.99, -0.99, 64), torch.linspace(-0.99, 0.99, 64), indexing="ij")
    inside = x.square() + y.square() < 0.98
    z = (1 - x.square() - y.square()).clamp(min=0).sqrt()
    sphere = torch.stack([x, y, z]) * inside
    sample = Sample(torch.zeros(3, 64, 64, dtype=torch.uint8), {"normals": sphere})
    transform = Transform(TASK_LIST, 64, Augmentation(hflip=0.0, rotate=37.0))
    for seed in range(4):
        example = transform(sample, seed)
        both = example.valid["normals"] & (x.square() + y.square() < 0.8)
        cosine = (example.targets["normals"] * sphere).sum(0)[both]
        assert cosine.min() > 0.998


def test_missing_labels_have_the_right_shape_and_are_invalid_everywhere() -> None:
    sample = make()
    full = Transform(TASK_LIST, 8)(sample)
    empty = Transform(TASK_LIST, 8)(Sample(sample.image))
    for task in TASK_LIST:
        assert empty.targets[task.name].shape == full.targets[task.name].shape
        assert empty.targets[task.name].dtype == full.targets[task.name].dtype
        assert empty.valid[task.name].shape == full.valid[task.name].shape
        assert not empty.valid[task.name].any()
        assert not empty.targets[task.name].any()


def test_a_label_of_another_size_is_resized_to_the_image() -> None:
    sample = make(8, 8)
    big = {
        name: label.repeat_interleave(2, -1).repeat_interleave(2, -2)
        for name, label in sample.labels.items()
        if label.ndim > 1
    }
    plain = Transform(TASK_LIST, 8)
    example, expected = plain(Sample(sample.image, big)), plain(sample)
    for name in ("segmentation", "edges", "human_parts", "depth"):
        torch.testing.assert_close(example.targets[name], expected.targets[name])
        assert torch.equal(example.valid[name], expected.valid[name])
    assert torch.equal(example.valid["normals"], expected.valid["normals"])
    torch.testing.assert_close(example.targets["normals"], expected.targets["normals"], atol=1e-5, rtol=0)


def test_cubic_values_do_not_wrap_around() -> None:
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    image[..., 8:] = 255
    for size in (8, 24, 37):
        example = Transform((), size, interpolation="bicubic", **PLAIN)(Sample(image))
        assert example.image.min() >= 0
        assert example.image.max() <= 1
        assert (example.image.diff(dim=-1) >= -1e-6).all() or size == 37
    assert (example.image[..., : 37 // 2 - 3] < 0.05).all()
    assert (example.image[..., 37 // 2 + 3 :] > 0.95).all()


def test_shrinking_filters_instead_of_skipping_pixels() -> None:
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    image[..., ::4] = 255  # sampling at every fourth pixel would see one colour only
    example = Transform((), 16, **PLAIN)(Sample(image))
    assert (example.image - 0.25).abs().max() < 0.1


def test_interpolation_does_not_grow_what_is_labelled() -> None:
    sample = make(8, 8)
    sample.labels["normals"] = torch.zeros(3, 8, 8)
    sample.labels["normals"][2, :, :4] = 1.0
    example = Transform(TASK_LIST, 24)(sample)
    assert example.valid["normals"].sum(1).unique().tolist() == [12]
    assert example.targets["normals"][2, :, :12].unique().tolist() == [1.0]
    assert not example.targets["normals"][..., 12:].any()


def test_an_image_without_people_is_invalid_for_parts_after_the_crop() -> None:
    sample = make(16, 16)
    sample.labels["human_parts"] = torch.zeros(16, 16, dtype=torch.long)
    sample.labels["human_parts"][0, 0] = 1  # in the corner, out of sight once magnified
    assert Transform(TASK_LIST, 16)(sample).valid["human_parts"].all()
    assert not Transform(TASK_LIST, 16, Augmentation(hflip=0.0, scale=[2.0]))(sample).valid["human_parts"].any()
    # Copied border pixels of the padding must not count as people.
    sample.labels["human_parts"].zero_()
    padded = Transform(TASK_LIST, 20, fit="pad")(sample)
    assert not padded.valid["human_parts"].any()


def test_a_crop_that_one_class_fills_is_drawn_again() -> None:
    sample = make(64, 64)
    sample.labels["segmentation"] = torch.zeros(64, 64, dtype=torch.long)
    sample.labels["segmentation"][:, 32:] = torch.arange(64)[:, None] % 3 + 1
    settings_ = Augmentation(hflip=0.0, crop="random")
    careful = replace(settings_, max_class_share=0.75)

    def shares(augmentation: Augmentation) -> list[float]:
        transform = Transform(TASK_LIST, 16, augmentation, fit="pad")
        targets = [transform(sample, seed).targets["segmentation"] for seed in range(40)]
        return [float(torch.bincount(item.flatten()).max() / item.numel()) for item in targets]

    assert sum(share > 0.75 for share in shares(settings_)) > 8
    assert sum(share > 0.75 for share in shares(careful)) == 0


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("depth", torch.zeros(12, 16)),
        ("segmentation", torch.zeros(1, 12, 16, dtype=torch.long)),
        ("normals", torch.zeros(2, 12, 16)),
        ("attributes", torch.zeros(2)),
        ("scene", torch.zeros(1, dtype=torch.long)),
    ],
)
def test_a_label_of_the_wrong_form_is_refused(name: str, label: Tensor) -> None:
    sample = make()
    sample.labels[name] = label
    with pytest.raises(UserError, match=f"label '{name}' of 'made' must be"):
        Transform(TASK_LIST, 8)(sample)


def test_bad_options_are_refused() -> None:
    with pytest.raises(UserError, match="image of 'x' must be"):
        Transform(TASK_LIST, 8)(Sample(torch.zeros(1, 4, 4), {}, "x"))
    with pytest.raises(UserError, match="at least 1 pixel"):
        Transform(TASK_LIST, 0)
    with pytest.raises(UserError, match="unknown fit"):
        Transform(TASK_LIST, 8, fit="crop")  # type: ignore[arg-type]
