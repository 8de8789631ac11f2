"""Configs: typed keys, merged rows, texts kept as written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from frugalmtl.cli._arguments import ConfigParser
from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.comparison import Comparison, merge, row_experiments
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import as_plain, parse, read_yaml, to_yaml
from frugalmtl.experiment.config.published import Published


def test_a_config_survives_being_written(tmp_path: Path) -> None:
    config = parse(
        Experiment,
        {"tasks": [{"kind": "depth"}], "train": {"epochs": 3}, "image_size": [64, 96], "published": {"source": "A: b"}},
    )
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert parse(Experiment, read_yaml(tmp_path / "config.yaml")) == config


def test_texts_are_not_read_as_yaml_again(tmp_path: Path) -> None:
    """A colon in a title is a colon."""
    path = tmp_path / "config.yaml"
    path.write_text(
        yaml.safe_dump({"published": {"source": "A survey: Table V"}, "encoder": {"name": "cross_stitch", "own": 0.8}})
    )
    parser = ConfigParser("train", Experiment)
    assert parser.parse_args(["--config", str(path)]).settings.published == Published("A survey: Table V")
    config = parser.parse_args(["--config", str(path), "--encoder.own", "0.7", "--train.epochs", "2"]).settings
    assert config.encoder == {"name": "cross_stitch", "own": 0.7}
    assert config.train.epochs == 2
    assert config.published == Published("A survey: Table V")


def test_sections_merge_unless_the_name_changes() -> None:
    base = {"encoder": {"name": "cross_stitch", "own": 0.8}, "train": {"epochs": 3, "batch_size": 4}}
    assert merge(base, {"encoder": {"own": 0.9}})["encoder"] == {"name": "cross_stitch", "own": 0.9}
    assert merge(base, {"encoder": {"name": "hard_sharing"}})["encoder"] == {"name": "hard_sharing"}
    assert merge(base, {"train": {"epochs": 5}})["train"] == {"epochs": 5, "batch_size": 4}
    assert base["train"] == {"epochs": 3, "batch_size": 4}, "the base is not changed"


def test_rows_get_name_seed_and_their_changes() -> None:
    comparison = Comparison(
        base={"train": {"epochs": 2}},
        rows={"a": {}, "b": {"title": "B", "balancer": {"name": "uniform"}}},
        reference="a",
    )
    rows = row_experiments(comparison, 7)
    assert [row.name for row in rows.values()] == ["a", "b"]
    assert rows["b"].seed == 7
    assert rows["b"].balancer == {"name": "uniform"}
    assert as_plain(rows["a"])["train"]["epochs"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"nam": "x"}, "Did you mean 'name'"),
        ({"seed": "x"}, "seed"),
        ({"train": {"epoch": 1}}, "Did you mean 'epochs'"),
    ],
)
def test_mistakes_are_named(content: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(Experiment, content)
