"""Evaluation, the exported file and ``predict`` see one scale."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from frugalmtl.data import Sample
from frugalmtl.experiment.runs.build import build_dataset
from frugalmtl.experiment.runs.predictor import Predictor
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.streams.loaders import make_loader
from frugalmtl.export import _run_model


def test_three_ways_to_one_prediction(run: Path, files: Path) -> None:
    """An image of 64 x 64 after a training at 32 x 96: what the evaluation scores, the file gives and predict shows."""
    runtime = pytest.importorskip("onnxruntime")
    opened = Run.open(run)
    dataset = build_dataset(opened.config)
    dataset.prepare(["test"])
    predictor = opened.predictor(device="cpu")
    samples = dataset.split("test")
    batch = next(make_loader(predictor.built, samples, opened.config, training=False).epoch())
    assert tuple(batch.image.shape[-2:]) == (32, 96)
    with torch.inference_mode():
        raw = predictor.deployed(batch.image[:1])
    photo = np.ascontiguousarray(samples.load(0).image.permute(1, 2, 0).numpy())
    assert photo.shape == (64, 64, 3)
    predicted = predictor(photo)
    model = json.loads((files / "model.json").read_text())["raw.onnx"]
    elsewhere = _run_model.predict(runtime.InferenceSession(files / "raw.onnx"), photo, model)
    for task in predictor.tasks:
        scored = task.decode(raw[task.name])[0].numpy()
        if task.dense:
            scored = _run_model.back_to_photo(scored, task.decode.gives, (64, 64), "resize")
            assert scored.shape[-2:] == (64, 64)
        np.testing.assert_array_equal(predicted[task.name].numpy(), scored)
        agree = np.isclose(elsewhere[task.name], scored, rtol=1e-3, atol=1e-4)
        assert agree.mean() > 0.999, task.name


def test_the_input_of_the_script_is_the_input_of_the_training(run: Path) -> None:
    """Resized up, down and both, and padded, whole and in windows."""
    opened = Run.open(run)
    built, deployed = opened.deployed()
    generator = np.random.default_rng(0)
    facts = {"size": (32, 96), "dtype": "float32", "fill": (0.5, 0.5, 0.5), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    for fit, sizes in (
        ("resize", [(20, 30), (100, 200), (20, 200), (32, 96)]),
        ("pad", [(20, 30), (31, 96), (32, 96)]),
    ):
        predictor = Predictor(built, deployed, replace(opened.config, fit=fit))
        for size in sizes:
            photo = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
            image = torch.from_numpy(photo).permute(2, 0, 1)
            expected = predictor.transform(Sample(image)).image.numpy()
            np.testing.assert_allclose(_run_model.network_input(photo, {**facts, "fit": fit})[0], expected, atol=2e-4)


def test_a_photograph_larger_than_the_network_is_predicted_in_windows(run: Path, files: Path) -> None:
    """With ``fit: pad``: the same windows by the script; one that fits is the evaluation's image."""
    runtime = pytest.importorskip("onnxruntime")
    built, deployed = Run.open(run).deployed()
    predictor = Predictor(built, deployed, replace(Run.open(run).config, fit="pad"))
    model = json.loads((files / "model.json").read_text())["raw.onnx"]
    model["input"]["fit"] = "pad"
    session = runtime.InferenceSession(files / "raw.onnx")
    for size in ((70, 130), (20, 50)):
        photo = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
        predicted, elsewhere = predictor(photo), _run_model.predict(session, photo, model)
        for task in predictor.tasks:
            agree = np.isclose(elsewhere[task.name], predicted[task.name].numpy(), rtol=1e-3, atol=1e-3)
            assert agree.mean() > 0.999, task.name
            assert predicted[task.name].shape[-2:] == size or not task.dense
