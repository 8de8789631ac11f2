"""The JSON Schema of configs, by a validator: every file in configs/ fits, wrong ones do not."""

from __future__ import annotations

import copy
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from frugalmtl.cli.main import main
from frugalmtl.experiment.config.comparison import Comparison
from frugalmtl.experiment.config.experiment import DatasetTask, Experiment
from frugalmtl.experiment.config.files import as_plain, parse, read_yaml, to_yaml
from frugalmtl.experiment.config.registries import LISTED
from frugalmtl.experiment.runs.build import CHANGEABLE

CONFIGS = Path(__file__).parents[4] / "configs"
EARLIER = Path(__file__).parents[3] / "integration" / "data" / "earlier_runs"
EXPERIMENT: dict[str, Any] = {
    "name": "x",
    "data": {"name": "rooms", "size": "tiny"},
    "tasks": ["depth", {"name": "normals", "weight": 2, "auxiliary": True}],
    "encoder": {"name": "cross_stitch", "own": 0.8},
    "decoder": {"name": "independent", "head": {"name": "hrnet", "width": 64}, "heads": {"depth": "linear"}},
    "train": {"epochs": 2, "optimizer": {"name": "adam", "lr": 1e-3}},
    "augmentation": "none",
    "published": {"source": "a table", "flops": 1e9},
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["schema"]) == 0
    schema = json.loads(printed.getvalue())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize(
    "path",
    [*sorted(CONFIGS.rglob("*.yaml")), *sorted(EARLIER.rglob("config.yaml"))],
    ids=lambda path: str(path.parent.name + "/" + path.name),
)
def test_configs_of_the_repository_fit(path: Path, validator: Draft202012Validator) -> None:
    content = read_yaml(path)
    kind = next(kind for kind in validator.schema["anyOf"] if content.keys() <= keys(validator, kind))
    # Errors below the kind of config that is meant say more than "fits none of three".
    errors = list(validator.evolve(schema={**validator.schema, "anyOf": [kind]}).iter_errors(content))
    assert errors == []


def keys(validator: Draft202012Validator, reference: dict[str, str]) -> set[str]:
    return set(validator.schema["$defs"][reference["$ref"].rpartition("/")[2]]["properties"])


def changed(key: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(EXPERIMENT)
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    place[last] = value
    return content


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 3),
        ("encoder", {"name": "hard_sharing"}),
        ("decoder.head", "linear"),
        ("decoder.heads", None),
        ("augmentation", {"hflip": 0.5}),
        ("augmentation", None),
        ("data", None),
        ("tasks", [{"kind": "segmentation", "classes": 40}, {"kind": "depth", "name": "z", "weight": 2.0}]),
        ("published", [{"source": "a", "scores": {"depth": 0.5}}]),
        ("train.lr_factors", {"encoder.*": 0.1}),
        ("balancer", {"name": "pcgrad", "gradients_at": "parameters"}),
        ("init_from", "runs/first"),
        ("init_from", {"run": "runs/first", "take": ["structure", "weights"], "seed": 3}),
    ],
)
def test_what_the_reader_takes_fits(key: str, value: Any, validator: Draft202012Validator) -> None:
    content = changed(key, value)
    parse(Experiment, content)
    assert validator.is_valid(content)
    assert validator.is_valid({"base": content, "rows": {"a": {}, "b": None}, "reference": "a"})
    assert validator.is_valid({"base": content, "rows": {"a": {}, "b": {"shown": False}}, "reference": "a"})


MERGED = [("encoder", {"own": 0.8}), ("published", {"flops": 1e9})]
"""What is no mistake in a base or row: there a section without a name is merged into another."""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encodr", {"name": "hard_sharing"}),
        ("seed", "three"),
        ("encoder", {"name": "hard_shearing"}),
        ("encoder", {"own": 0.8}),
        ("encoder.onw", 0.8),
        ("encoder.own", "most"),
        ("encoder", "cross_stitch"),
        ("decoder.head", "liner"),
        ("decoder.head.widht", 3),
        ("decoder.heads.depth", "liner"),
        ("balancer", {"name": "pcgrad", "gradients_at": "nowhere"}),
        ("train.epoch", 3),
        ("train.optimizer", {"name": "adma"}),
        ("train.optimizer.rl", 0.1),
        ("train.precision", "8"),
        ("augmentation", "flipp"),
        ("augmentation", {"hflop": 1}),
        ("published", {"flops": 1e9}),
        ("published.sauce", "x"),
        ("tasks", [{"kind": "dept"}]),
        ("tasks", [{"kind": "depth", "classes": 3}]),
        ("image_size", [64]),
        ("init_from", {"run": "runs/first", "take": ["wieghts"]}),
        ("init_from", {"rnu": "runs/first"}),
        ("data", {"class_path": "os.system", "init_args": {"command": "true"}}),
    ],
)
def test_what_the_reader_refuses_does_not_fit(key: str, value: Any, validator: Draft202012Validator) -> None:
    content = changed(key, value)
    assert not validator.is_valid(content)
    if (key, value) not in MERGED:
        assert not validator.is_valid({"base": content, "rows": {"a": {}}, "reference": "a"})
        assert not validator.is_valid({"base": {}, "rows": {"a": content}, "reference": "a"})


@pytest.mark.parametrize(
    "change",
    [{"reference": None}, {"rows": []}, {"seeds": [0.5]}, {"row": {}}, {"published": [{"title": "t"}]}],
    ids=str,
)
def test_a_wrong_comparison_does_not_fit(change: dict[str, Any], validator: Draft202012Validator) -> None:
    content = {"base": EXPERIMENT, "rows": {"a": {"title": "A", "encoder": {"own": 0.9}}}, "reference": "a"}
    assert validator.is_valid(content)
    assert validator.is_valid({**content, "sweep": {"key": "encoder.own", "values": [0.1], "row": {"title": "S"}}})
    assert not validator.is_valid({**content, **change})
    assert validator.is_valid({**content, "sweep": {"grid": {"encoder.own": [0.1], "encoder.other": [0.2]}}})
    assert not validator.is_valid({**content, "sweep": {"key": 1}})
    assert not validator.is_valid({**content, "sweep": {"grid": {"encoder.own": 0.1}}})


def test_every_section_offers_every_member_with_documented_options(validator: Draft202012Validator) -> None:
    definitions = validator.schema["$defs"]
    for title in (
        "tasks",
        "data",
        "backbones",
        "encoders",
        "decoders",
        "heads",
        "balancing",
        "optimizers",
        "schedules",
    ):
        registry = LISTED[title]
        key = "kind" if title == "tasks" else "name"
        for name in registry.names():
            member = definitions[f"{registry.what}.{name}"]
            assert member["properties"][key] == {"const": name}
            assert key in member["required"]
            assert member["description"]
            assert set(registry.schema(name)) <= set(member["properties"])
            for option in registry.schema(name):
                assert member["properties"][option].get("description"), f"{title}/{name}.{option} is not documented"


def test_a_resolved_config_fits(validator: Draft202012Validator) -> None:
    experiment = parse(Experiment, EXPERIMENT)
    assert validator.is_valid(as_plain(experiment))
    comparison = Comparison(base=EXPERIMENT, rows={"a": {}}, reference="a")
    assert validator.is_valid(as_plain(comparison))
    assert "published" in to_yaml(comparison)


def test_facts_of_a_task_in_the_schema_are_those_that_can_be_changed() -> None:
    assert {item.name for item in fields(DatasetTask)} == {"name", *CHANGEABLE}
