"""Flags over config files: every spelling, what wins, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalmtl.cli._arguments import ConfigParser
from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.comparison import Comparison
from frugalmtl.experiment.config.experiment import Experiment, InitFrom
from frugalmtl.experiment.config.sweep import Sweep

STITCHED = {"name": "cross_stitch", "own": 0.8, "other": 0.1}


def parsed(tmp_path: Path, *flags: str, content: dict[str, Any] | None = None) -> Experiment:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"encoder": STITCHED, "tasks": ["depth"]} if content is None else content))
    settings: Experiment = ConfigParser("train", Experiment).parse_args(["--config", str(path), *flags]).settings
    return settings


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        (["--train.epochs", "3"], "train.epochs", 3),
        (["--train.epochs=3"], "train.epochs", 3),
        (["--train", "{epochs: 3}"], "train.epochs", 3),
        (["--train.epochs", "2", "--train", "{batch_size: 3}"], "train.epochs", 2),
        (["--train.clip_norm", "1e-3"], "train.clip_norm", 0.001),
        (["--train.optimizer.lr", "0.5"], "train.optimizer", {"name": "adam", "lr": 0.5}),
        (["--train.optimizer", "sgd"], "train.optimizer", {"name": "sgd"}),
        (["--train.tensorboard", "true"], "train.tensorboard", True),
        (["--encoder", "hard_sharing"], "encoder", {"name": "hard_sharing"}),
        (["--encoder.own", "0.7"], "encoder", {**STITCHED, "own": 0.7}),
        (["--encoder.name", "single_task"], "encoder", {"name": "single_task"}),
        (["--encoder.name", "cross_stitch"], "encoder", STITCHED),
        (
            ["--encoder", "{name: cross_stitch}", "--encoder.own", "0.5"],
            "encoder",
            {"name": "cross_stitch", "own": 0.5},
        ),
        (["--encoder", '{"name": "hard_sharing"}'], "encoder", {"name": "hard_sharing"}),
        (["--decoder.head", "linear"], "decoder", {"name": "independent", "head": "linear"}),
        (["--data.size", "tiny", "--data.name", "rooms"], "data", {"size": "tiny", "name": "rooms"}),
        (["--data", "rooms", "--data.size", "tiny"], "data", {"name": "rooms", "size": "tiny"}),
        (["--tasks", "[depth, normals]"], "tasks", ["depth", "normals"]),
        (["--tasks+", "normals"], "tasks", ["depth", "normals"]),
        (["--tasks+=normals", "--tasks+", "edges"], "tasks", ["depth", "normals", "edges"]),
        (["--tasks", "null"], "tasks", None),
        (["--image_size", "[64, 96]"], "image_size", (64, 96)),
        (["--image_size", "64"], "image_size", (64, 64)),
        (["--augmentation", "none"], "augmentation", "none"),
        (["--augmentation.hflip", "0.25"], "augmentation", {"hflip": 0.25}),
        (["--seed", "-1"], "seed", -1),
        (["--name", "2024"], "name", "2024"),
        (["--name", "a: b"], "name", "a: b"),
        (["--name", "null"], "name", "null"),
        (["--init_from", "null"], "init_from", None),
        (["--init_from", "runs/a"], "start", InitFrom("runs/a")),
        (["--init_from.run", "runs/a"], "start", InitFrom("runs/a")),
        (
            ["--init_from.run", "runs/a", "--init_from.take", "[structure]", "--init_from.seed", "3"],
            "init_from",
            InitFrom("runs/a", ["structure"], 3),
        ),
        (["--init_from", "{run: runs/a}", "--init_from.take", "[structure]"], "start.take", ["structure"]),
        (["--published", "{source: 'Table 2: depth'}"], "published.source", "Table 2: depth"),
        (["--published.source", "Table 2: depth"], "published.source", "Table 2: depth"),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, list) else "",
)
def test_flags_change_the_file(tmp_path: Path, flags: list[str], key: str, value: Any) -> None:
    place: Any = parsed(tmp_path, *flags)
    for name in key.split("."):
        place = getattr(place, name)
    assert place == value


def test_flags_alone_make_a_config() -> None:
    settings = ConfigParser("train", Experiment).parse_args(["--encoder.own", "0.5", "--seed", "3"]).settings
    assert settings.encoder == {"name": "hard_sharing", "own": 0.5}, "an option begins from the default section"
    assert settings.seed == 3
    assert Experiment().encoder == {"name": "hard_sharing"}


def test_a_later_file_wins_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text("{name: a, seed: 1}")
    (tmp_path / "second.yaml").write_text("{seed: 2}")
    files = ["--config", str(tmp_path / "first.yaml"), f"--config={tmp_path / 'second.yaml'}"]
    settings = ConfigParser("train", Experiment).parse_args(files).settings
    assert (settings.name, settings.seed) == ("a", 2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--encodr", "x"], "unrecognized arguments: --encodr x; did you mean --encoder"),
        (["--epochs", "3"], r"unrecognized arguments: --epochs 3; did you mean --train.epochs\?"),
        (["--lr=3"], r"unrecognized arguments: --lr=3 \(see"),
        (["--encodr.name", "x"], "--encodr.name"),
        (["--train.epoch", "3"], "unknown key of flag --train.epoch: 'epoch'.* Did you mean 'epochs'"),
        (["--train.epochs", "many"], "train.epochs must be a whole number, but got 'many'"),
        (["--train.epochs", "-1"], "epochs must be above 0"),
        (["--train.epochs"], "--train.epochs: expected one argument"),
        (["--seed.more", "1"], "seed"),
        (["--tasks.x", "1"], "'tasks' is .'depth'., not a section"),
        (["--fit", "stretch"], "fit must be 'resize' or 'pad', but got 'stretch'"),
        (["--encoder", "[1]"], "encoder must be a mapping"),
        (["--published.sauce", "x"], "Did you mean 'source'"),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, list) else "",
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parsed(tmp_path, *flags)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "kind", "content", "message"),
    [
        (
            "train",
            Experiment,
            "{rows: {}, reference: a}",
            "the config of a comparison: run 'frugalmtl compare --config",
        ),
        ("train", Experiment, "{rows: {}, sweep: {}}", "the config of a sweep: run 'frugalmtl sweep"),
        ("compare", Comparison, "{encoder: {name: x}}", "the config of an experiment: run 'frugalmtl train"),
        ("compare", Comparison, "{base: {}, rows: {}, sweep: {}}", "run 'frugalmtl sweep --config"),
        ("sweep", Sweep, "{base: {}, rows: {}, reference: a}", "lacks sweep"),
        ("sweep", Sweep, "{encoder: {name: x}}", "run 'frugalmtl train --config"),
    ],
)
def test_the_config_of_another_command_is_named(
    tmp_path: Path, command: str, kind: type, content: str, message: str
) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        ConfigParser(command, kind).parse_args(["--config", str(tmp_path / "config.yaml")])


def test_help_shows_every_key_with_its_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    for kind, keys in ((Experiment, ("--encoder", "--train.batch_size", "--published")), (Comparison, ("--rows",))):
        with pytest.raises(SystemExit):
            ConfigParser("train", kind).parse_args(["--help"])
        text = capsys.readouterr().out
        for key in keys:
            assert f"  {key} " in text
        assert "``" not in text
        assert ":class:" not in text
    assert "rows with the same curve" in " ".join(text.split())
