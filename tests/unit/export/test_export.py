"""Exported files: their outputs are those of the module, and a file with others is not published."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, load_model
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl import export
from frugalmtl.core.checks import UserError
from frugalmtl.export import EXPORTERS
from frugalmtl.export.base import check_outputs
from frugalmtl.export.safetensors import read_config

SUFFIX = {name: EXPORTERS.get(name).suffix for name in EXPORTERS.names()}
SIZE = (32, 64)


class Small(nn.Module):
    """Two dense tasks and a vector, with a shared weight; names not in alphabetical order."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.far = nn.Conv2d(8, 5, 1)
        self.near = nn.Conv2d(8, 5, 1)
        self.near.weight = self.far.weight
        self.words = nn.Linear(8, 3)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.stem(image)
        size = image.shape[-2:]
        return {
            "near": F.interpolate(self.near(features), size=size, mode="bilinear"),
            "far": F.interpolate(self.far(features), size=size, mode="bilinear"),
            "a_word": self.words(features.mean((2, 3))),
        }


class ByValue(nn.Module):
    """Its path depends on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"far": self.conv(image) if image.mean() > 0 else image}


@pytest.fixture
def module() -> Small:
    torch.manual_seed(0)
    module = Small()
    with torch.no_grad():
        module.stem[1].running_mean.normal_()
    return module.eval()


def outputs(module: nn.Module, image: Tensor) -> dict[str, Tensor]:
    with torch.inference_mode():
        return module(image)


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_every_format_writes_a_checked_file(name, module, tmp_path):
    path = tmp_path / "new folder" / f"model{SUFFIX[name]}"
    module.train()
    exported = EXPORTERS.build(name)(module, path, SIZE)
    assert exported.path == str(path)
    assert exported.bytes == path.stat().st_size > 500
    assert exported.outputs == ("near", "far", "a_word")
    assert 0 <= exported.max_abs_difference <= 1e-4
    assert [item.name for item in path.parent.iterdir()] == [path.name]  # no temporary file, no side file
    assert module.training
    assert exported.as_dict()["shape"][1] == "3"


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_wrong_file_name_or_size(name, module, tmp_path):
    with pytest.raises(UserError, match="must end with"):
        EXPORTERS.build(name)(module, tmp_path / "model.bin", SIZE)
    with pytest.raises(UserError, match="must be above 0"):
        EXPORTERS.build(name)(module, tmp_path / f"model{SUFFIX[name]}", (0, 4))


@pytest.mark.parametrize("name", ["onnx", "torch_export"])
def test_module_without_fixed_graph_is_refused_and_old_file_stays(name, tmp_path):
    path = tmp_path / f"model{SUFFIX[name]}"
    path.write_text("old")
    with pytest.raises(UserError, match="cannot be written as"):
        EXPORTERS.build(name)(ByValue(), path, SIZE)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_onnx_runs_on_other_batches_and_sizes(module, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    exported = EXPORTERS.build({"name": "onnx", "dynamic_size": True})(module, path, SIZE)
    assert exported.shape == ("N", "3", "H", "W")
    session = onnxruntime.InferenceSession(str(path))
    assert [item.name for item in session.get_inputs()] == ["image"]
    assert [item.name for item in session.get_outputs()] == ["near", "far", "a_word"]
    image = torch.randn(5, 3, 96, 32)
    expected = outputs(module, image)
    for task, value in zip(expected, session.run(None, {"image": image.numpy()}), strict=True):
        np.testing.assert_allclose(value, expected[task].numpy(), atol=1e-5)


def test_onnx_with_everything_fixed(module, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    exported = EXPORTERS.build({"name": "onnx", "batch": 1})(module, path, SIZE)
    assert exported.shape == ("1", "3", "32", "64")
    assert onnxruntime.InferenceSession(str(path)).get_inputs()[0].shape == [1, 3, 32, 64]


def test_onnx_files_hold_no_paths_of_the_code_they_were_traced_from(module, tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    EXPORTERS.build("onnx")(module, path, SIZE)
    assert b".py" not in path.read_bytes()


def test_onnx_of_any_size_is_refused_where_tracing_would_not_end(module, tmp_path):
    module.stem[0] = Conv2dSame(3, 8, 3, 2)
    with pytest.raises(UserError, match="write ONNX with a fixed size"):
        EXPORTERS.build({"name": "onnx", "dynamic_size": True})(module, tmp_path / "model.onnx", SIZE)


def test_onnx_of_any_size_is_refused_where_it_gives_other_sizes_wrong(tmp_path):
    class Fixed(nn.Module):
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            height, width = map(int, image.shape[-2:])
            return {"far": image + torch.ones(height, width)}

    with pytest.raises(UserError, match=r"was not written|cannot be written.*dynamic_size: false"):
        EXPORTERS.build({"name": "onnx", "dynamic_size": True})(Fixed(), tmp_path / "model.onnx", SIZE)
    assert list(tmp_path.iterdir()) == []


class Foreign(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"depth": torch.linalg.eigvalsh(image[:, 0, :, :32])}


class Branching(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"depth": image * 2 if image.sum() > 0 else image}


@pytest.mark.parametrize(
    ("foreign", "obstacle"),
    [
        (Foreign(), "it has no form of the operator aten._linalg_eigh$"),
        (Branching(), r'test_export.py, line \d+, branches on a value: return {"depth": image \* 2 if image.sum'),
    ],
    ids=["operator", "branch"],
)
def test_onnx_names_what_stands_in_its_way(foreign, obstacle, tmp_path, capfd):
    with pytest.raises(UserError, match=f"cannot be written as ONNX: {obstacle}"):
        EXPORTERS.build("onnx")(foreign, tmp_path / "model.onnx", (32, 32))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_onnx_without_its_packages(module, tmp_path, monkeypatch):
    monkeypatch.setattr("frugalmtl.export.onnx.find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(UserError, match=r'needs onnxruntime: run pip install "frugalmtl\[onnx\]"'):
        EXPORTERS.build("onnx")(module, tmp_path / "model.onnx", SIZE)


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_differing_outputs_are_not_published(name, module, tmp_path, monkeypatch):
    def lie(expected, actual, images, tolerance, what):
        return check_outputs(
            lambda image: {key: value + 1 for key, value in expected(image).items()}, actual, images, tolerance, what
        )

    monkeypatch.setattr("frugalmtl.export.base.check_outputs", lie)
    with pytest.raises(UserError, match="differs from the model by 1"):
        EXPORTERS.build(name)(module, tmp_path / f"model{SUFFIX[name]}", SIZE)
    assert list(tmp_path.iterdir()) == []


def test_torch_export_runs_without_the_class(module, tmp_path):
    path = tmp_path / "model.pt2"
    EXPORTERS.build("torch_export")(module, path, SIZE)
    image = torch.randn(4, 3, *SIZE)
    loaded = torch.export.load(path).module()(image)
    for task, value in outputs(module, image).items():
        torch.testing.assert_close(loaded[task], value)


class ByCount(nn.Module):
    """Its path depends on the number of images."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"far": image * 2 if len(image) == 3 else image}


def test_torch_export_is_refused_where_tracing_fixes_the_batch(tmp_path):
    with pytest.raises(UserError, match=r"does not take an image \[1, 3, 32, 64\] .*export with a fixed batch size"):
        EXPORTERS.build("torch_export")(ByCount(), tmp_path / "model.pt2", SIZE)
    assert not list(tmp_path.iterdir())
    EXPORTERS.build({"name": "torch_export", "batch": 1})(ByCount(), tmp_path / "model.pt2", SIZE)


def test_safetensors_keeps_config_and_shared_weights_once(module, tmp_path):
    path = tmp_path / "model.safetensors"
    config = {"encoder": {"name": "hard_sharing"}, "rates": [1, 2]}
    exported = EXPORTERS.build("safetensors")(module, path, SIZE, config)
    assert read_config(path) == config
    assert exported.max_abs_difference == 0
    stored = load_file(path)
    assert sum(name.endswith(("near.weight", "far.weight")) for name in stored) == 1
    again = Small().eval()
    load_model(again, path)
    image = torch.randn(1, 3, *SIZE)
    torch.testing.assert_close(outputs(again, image), outputs(module, image), rtol=0, atol=0)


def test_safetensors_refusals(module, tmp_path):
    with pytest.raises(UserError, match="cannot be written as JSON"):
        EXPORTERS.build("safetensors")(module, tmp_path / "a.safetensors", SIZE, {"a": object()})
    with pytest.raises(UserError, match="do not exist"):
        read_config(tmp_path / "b.safetensors")
    (tmp_path / "c.safetensors").write_text("not one")
    with pytest.raises(UserError, match="not a weights file"):
        read_config(tmp_path / "c.safetensors")
    module.register_buffer("rare", torch.eye(3).to_sparse())
    with pytest.raises(UserError, match="dense weights only"):
        EXPORTERS.build("safetensors")(module, tmp_path / "a.safetensors", SIZE)


TOY = '''
"""Text files that hold the length of the config."""

from pathlib import Path

from frugalmtl.core.checks import UserError
from frugalmtl.export.base import Exporter, Forward, ExportInput


class PlainText(Exporter):
    """Text with the number of config keys, as often as asked.

    Args:
        lines: how often.
    """

    suffix = ".txt"
    product = "the text"
    tolerance = 0.0

    def __init__(self, *, lines: int = 1) -> None:
        self.lines = lines

    def write(self, source: ExportInput, path: Path) -> Forward:
        path.write_text(f"{len(source.config)}\\n" * self.lines)
        return source.plain
'''


@pytest.fixture
def _toy_format(tmp_path, monkeypatch):
    (tmp_path / "formats").mkdir()
    (tmp_path / "formats" / "plain_text.py").write_text(TOY)
    monkeypatch.setattr(export, "__path__", [*export.__path__, str(tmp_path / "formats")])
    yield
    sys.modules.pop("frugalmtl.export.plain_text", None)


@pytest.mark.usefixtures("_toy_format")
def test_a_new_format_is_one_file(module, tmp_path):
    assert "plain_text" in EXPORTERS.names()
    assert list(EXPORTERS.schema("plain_text")) == ["lines"]
    path = tmp_path / "model.txt"
    exported = EXPORTERS.build({"name": "plain_text", "lines": 2})(module, path, SIZE, {"a": 1, "b": 2})
    assert path.read_text() == "2\n2\n"
    assert exported.shape == ("1", "3", "32", "64")
    with pytest.raises(UserError, match=r"must end with \.txt"):
        EXPORTERS.build("plain_text")(module, tmp_path / "model.onnx", SIZE)
    with pytest.raises(UserError, match="lines must be a whole number"):
        EXPORTERS.build({"name": "plain_text", "lines": "two"})
