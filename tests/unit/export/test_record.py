"""Records inside exported files, decoding in them, and the sizes and batches that they take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.export import EXPORTERS, ModelFacts
from frugalmtl.export._decoded import DecodedModel, measurable
from frugalmtl.export._record import KEY, model_record
from frugalmtl.export._sidecar import write_beside
from frugalmtl.export.base import Exported
from frugalmtl.tasks import Task, make_task

TASKS: tuple[Task, ...] = tuple(
    make_task(section, name)
    for name, section in {
        "ground": {"kind": "segmentation", "classes": ["floor", "wall", "other"]},
        "depth": {"kind": "depth"},
        "normals": {"kind": "normals"},
        "objects": {"kind": "saliency"},
        "scene": {"kind": "classification", "classes": ["kitchen", "hall"], "exclusive": True},
        "looks": {"kind": "classification", "classes": ["bright", "tidy"]},
    }.items()
)
FACTS = ModelFacts(TASKS, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25), size_divisor=16)
DECODED = replace(FACTS, decoded=True)
SIZE = (32, 48)


class Heads(nn.Module):
    """A convolution per task."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({task.name: nn.Conv2d(3, task.channels, 3, padding=1) for task in TASKS})

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        raw = {name: head(image) for name, head in self.heads.items()}
        return {task.name: raw[task.name] if task.dense else raw[task.name].mean((2, 3)) for task in TASKS}


@pytest.fixture(scope="module")
def module() -> Heads:
    torch.manual_seed(0)
    return Heads().eval()


def written(module: nn.Module, folder: Path, facts: ModelFacts = FACTS, **options: Any) -> Exported:
    exporter = EXPORTERS.build(options)
    return exporter(module, folder / f"model{exporter.suffix}", SIZE, facts=facts)


def stored(path: Path) -> str:
    """The record inside a file, by the usual reader of its format."""
    if path.suffix == ".onnx":
        runtime = pytest.importorskip("onnxruntime")
        metadata: dict[str, str] = runtime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map
        return metadata[KEY]
    if path.suffix == ".pt2":
        files = {KEY: ""}
        torch.export.load(path, extra_files=files)
        return files[KEY]
    with safe_open(path, "pt") as file:
        return str(file.metadata()[KEY])


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_every_format_says_how_it_is_used(name: str, module: Heads, tmp_path: Path) -> None:
    exported = written(module, tmp_path, name=name)
    record = json.loads(stored(Path(exported.path)))
    assert record == exported.record
    takes, outputs = record["input"], record["outputs"]
    assert (takes["colour_order"], takes["range"], takes["dtype"], takes["layout"]) == (
        "RGB",
        [0, 1],
        "float32",
        "NCHW",
    )
    assert (takes["mean"], takes["std"], takes["fit"]) == ([0.5, 0.4, 0.3], [0.2, 0.3, 0.25], "resize")
    assert list(outputs) == [task.name for task in TASKS]
    assert [one["name"] for one in outputs["ground"]["classes"]] == ["floor", "wall", "other"]
    assert outputs["ground"]["classes"][1]["colour"] == TASKS[0].legend["wall"]
    assert outputs["ground"]["decode"] == [{"step": "argmax"}]
    assert (outputs["depth"]["unit"], outputs["depth"]["values"]) == ("m", "metres")
    assert outputs["objects"]["values"] == outputs["looks"]["values"] == "probability"
    assert outputs["normals"]["decode"] == [{"step": "unit_vectors"}]
    assert [outputs[name]["map"] for name in outputs] == [True] * 4 + [False] * 2


def test_sizes_of_a_record() -> None:
    names = ["ground", "scene"]
    fixed = model_record(FACTS, "a.onnx", names, SIZE, "", 4)
    assert (fixed["input"]["shape"], fixed["input"]["size_rule"], fixed["input"]["batch"]) == (
        [4, 3, 32, 48],
        "as stated",
        4,
    )
    assert fixed["outputs"]["ground"]["shape"] == [4, 3, 32, 48]
    free = model_record(DECODED, "a.onnx", names, SIZE, "NHW", None)
    assert (free["input"]["shape"], free["input"]["size_rule"]) == (["N", "H", "W", 3], "multiples of 16")
    assert (free["outputs"]["ground"]["shape"], free["outputs"]["scene"]["shape"]) == (["N", "H", "W"], ["N"])
    assert free["input"]["size"] == [32, 48]  # what it was trained at is told all the same


def photo(count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, *SIZE, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", ["onnx", "torch_export"])
def test_decoded_files_take_bytes_and_give_what_is_meant(name: str, module: Heads, tmp_path: Path) -> None:
    exported = written(module, tmp_path, DECODED, name=name)
    assert exported.shape == ("N", "32", "48", "3")
    image = photo()
    if name == "onnx":
        runtime = pytest.importorskip("onnxruntime")
        values = runtime.InferenceSession(exported.path).run(list(exported.outputs), {"image": image.numpy()})
        outputs = dict(zip(exported.outputs, map(torch.from_numpy, values), strict=True))
    else:
        outputs = torch.export.load(exported.path).module()(image)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (FACTS.mean, FACTS.std))
    raw = module((image.permute(0, 3, 1, 2) / 255 - mean) / std)
    for task in TASKS:
        expected, output = task.decode(raw[task.name]), outputs[task.name]
        assert list(output.shape)[1:] == exported.record["outputs"][task.name]["shape"][1:]
        assert str(output.dtype) == f"torch.{exported.record['outputs'][task.name]['dtype']}"
        if expected.is_floating_point():
            torch.testing.assert_close(output, expected, atol=1e-4, rtol=1e-4)
        else:
            assert (output == expected).float().mean() > 0.999
    torch.testing.assert_close(outputs["normals"].norm(dim=1), torch.ones(2, *SIZE))


class Fixed(nn.Module):
    """The same raw predictions whatever the image."""

    def __init__(self, raw: dict[str, Tensor]) -> None:
        super().__init__()
        self.raw = raw

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return self.raw


def judged(raw: dict[str, Tensor], outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return measurable(lambda _: outputs, DecodedModel(Fixed(raw), DECODED))(torch.zeros(1, 1, 2, 3))


def test_indices_of_classes_are_judged_by_what_they_lack() -> None:
    raw = {"ground": torch.tensor([[1.0, 3.0], [0.9999, -4.0]])[None, :, None]}  # two classes, one row of two pixels
    for index, lacks in (([[0, 0]], 0.0), ([[1, 0]], 1e-4 / 4), ([[0, 1]], 7.0 / 4)):
        values = judged(raw, {"ground": torch.tensor(index, dtype=torch.uint8)[None]})
        assert values["ground"].max().item() == pytest.approx(lacks, abs=1e-6)


def test_directions_of_next_to_nothing_are_not_judged() -> None:
    raw = {"normals": torch.tensor([[0.0, 0.0], [0.0, 0.0], [1e-6, 5.0]])[None, :, None]}
    turned = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])[None, :, None]
    difference = (
        judged(raw, {"normals": turned})["normals"]
        - judged(raw, {"normals": DECODED.tasks[2].decode(raw["normals"])})["normals"]
    )
    short, long = difference.norm(dim=1)[0, 0]
    assert short < 1e-5
    assert long > 1


def test_bytes_survive_normalisation(module: Heads) -> None:
    decoded, image = DecodedModel(module, DECODED), photo()
    normalised = (image.permute(0, 3, 1, 2) / 255 - decoded.mean) / decoded.std
    assert torch.equal(decoded.bytes_of(normalised), image)


def test_weights_alone_decode_nothing(module: Heads, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="use the format onnx or torch_export"):
        written(module, tmp_path, DECODED, name="safetensors")
    assert not list(tmp_path.iterdir())


def test_a_fixed_batch_and_another_size(module: Heads, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    exported = written(module, tmp_path, name="onnx", batch=3, size=(48, 64))
    assert exported.shape == ("3", "3", "48", "64")
    session = runtime.InferenceSession(exported.path)
    assert session.get_inputs()[0].shape == [3, 3, 48, 64]
    image = torch.randn(3, 3, 48, 64)
    np.testing.assert_allclose(
        session.run(["depth"], {"image": image.numpy()})[0], module(image)["depth"].detach(), atol=1e-4
    )
    program = torch.export.load(written(module, tmp_path, name="torch_export", size=(48, 64), batch=2).path).module()
    assert program(image[:2])["depth"].shape == (2, 1, 48, 64)


def test_any_size_of_bytes(module: Heads, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    exported = written(module, tmp_path, DECODED, name="onnx", dynamic_size=True, size_divisor=16)
    assert exported.shape == ("N", "H", "W", "3")
    assert exported.record["input"]["size_rule"] == "multiples of 16"
    session = runtime.InferenceSession(exported.path)
    image = np.zeros((1, 64, 16, 3), np.uint8)
    assert session.run(["ground"], {"image": image})[0].shape == (1, 64, 16)


class OneSize(Heads):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        assert tuple(image.shape[-2:]) == SIZE, "position embeddings are for 32 x 48"
        return super().forward(image)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((40, 48), "multiples of 16 .* got 40 x 48: for example 32 x 48"),
        ((64, 64), "takes no images of 64 x 64 .*embed"),
    ],
)
def test_sizes_that_the_network_does_not_take(size: tuple[int, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        written(OneSize(), tmp_path, name="torch_export", size=size)
    assert not list(tmp_path.iterdir())


def test_the_table_beside_files_is_readable_and_exact(tmp_path: Path) -> None:
    odd = make_task({"kind": "segmentation", "classes": ["[1,2]", '["N",3]', "été"]}, "odd")
    facts = replace(FACTS, tasks=(odd,))
    record = model_record(facts, "a.pt2", ["odd"], SIZE, "N", None)
    exported = Exported(str(tmp_path / "a.pt2"), 1, 0.0, ("odd",), ("N",), record)
    assert write_beside(exported, {}) == [tmp_path / "model.json"]
    text = (tmp_path / "model.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a.pt2": record}
    assert '"shape": ["N", 3, 32, 48]' in text
    assert '"name": "été"' in text
