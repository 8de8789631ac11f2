"""Weights that timm publishes: its loader, cache and hashes, with a server on this machine."""

from __future__ import annotations

import copy
import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from timm.models import _registry
from torch import Tensor

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import without_weights

MODEL = "resnet10t.c3_in1k"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of weights that timm takes for the published ones, and the cache that it is downloaded to."""
    torch.manual_seed(3)
    file = tmp_path / "server" / "weights.pth"
    file.parent.mkdir()
    torch.save(timm.create_model(MODEL).state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file = file.rename(file.with_name(f"weights-{digest}.pth"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(file.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = copy.deepcopy(_registry._model_pretrained_cfgs[MODEL])
    config.hf_hub_id, config.url = None, f"http://127.0.0.1:{server.server_address[1]}/{file.name}"
    monkeypatch.setitem(_registry._model_pretrained_cfgs, MODEL, config)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    yield file
    server.shutdown()
    server.server_close()


def tensors(backbone: Timm) -> dict[str, Tensor]:
    return backbone.state_dict()


@pytest.mark.parametrize("options", [{"weights": "imagenet"}, {"pretrained": True}, {"output_stride": 8}], ids=str)
def test_published_weights_are_those_of_the_file(published: Path, tmp_path: Path, options: dict[str, object]) -> None:
    word = {} if "pretrained" in options else {"weights": "imagenet"}
    downloaded = Timm(model=MODEL, **{**word, **options})  # type: ignore[arg-type]  # options of several types
    local = Timm(model=MODEL, weights=str(published), **{k: v for k, v in options.items() if k == "output_stride"})  # type: ignore[arg-type]
    for name, tensor in tensors(local).items():
        assert torch.equal(tensor, tensors(downloaded)[name]), name
    assert [item.name for item in (tmp_path / "cache" / "hub" / "checkpoints").iterdir()] == [published.name]


def test_a_file_in_the_cache_needs_no_network(published: Path) -> None:
    first = Timm(model=MODEL, weights="imagenet")
    published.unlink()
    assert all(map(torch.equal, tensors(first).values(), tensors(Timm(model=MODEL, weights="imagenet")).values()))


def test_a_file_that_is_not_what_was_published_is_refused(published: Path) -> None:
    published.write_bytes(published.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"could not be fetched \(invalid hash value.*weights: PATH") as caught:
        Timm(model=MODEL, weights="imagenet")
    assert "\n" not in str(caught.value)


def test_offline_the_file_to_fetch_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"fetch model.safetensors of the .* repository timm/resnet18\.a1_in1k"):
        Timm(model="resnet18", weights="imagenet")


def test_models_without_published_weights_say_which_tags_have_some() -> None:
    with pytest.raises(UserError, match="timm publishes no weights for 'resnet200': leave weights out, or name a file"):
        Timm(model="resnet200", weights="imagenet")


def test_two_words_for_different_weights_are_refused() -> None:
    with pytest.raises(UserError, match="pretrained: true means weights: imagenet, but weights 'package' are set"):
        Timm(model="tf_efficientnet_lite0", weights="package", pretrained=True)


@pytest.mark.parametrize("options", [{"weights": "imagenet"}, {"pretrained": True}], ids=str)
def test_nothing_is_fetched_where_weights_do_not_matter(options: dict[str, object]) -> None:
    config = Experiment(backbone={"name": "timm", "model": MODEL, **options})
    assert without_weights(config).backbone == {"name": "timm", "model": MODEL}
