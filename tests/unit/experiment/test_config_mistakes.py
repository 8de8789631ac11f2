"""Mistakes in configs and flags: one line with the user's key, what stands there and what must, and nothing written."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalmtl.cli.main import main
from tests.integration.conftest import EXPERIMENT, write_config

Words = tuple[str, ...]
CROSS = "{name: cross_stitch, "
EXPERIMENTS: dict[str, Words] = {
    "encodr: {}": ("'encodr'", "Did you mean 'encoder'"),
    "train.epoch: 3": ("train: 'epoch'", "Did you mean 'epochs'"),
    "train.epochs: many": ("train.epochs must be a whole number", "'many'"),
    "train.epochs: null": ("train.epochs must be a whole number", "null"),
    "train.epochs: [1]": ("train.epochs must be a whole number", "[1]"),
    "train.epochs: -1": ("train: epochs must be above 0", "-1"),
    "train: true": ("train must be a mapping", "true"),
    "train: null": ("train must be a mapping", "null"),
    "train: [1]": ("train must be a mapping", "[1]"),
    "train.workers: -1": ("train: workers must be 'auto' or a number from 0 on", "-1"),
    "train.clip_norm: 0": ("train: clip_norm must be above 0", "0"),
    "train.precision: fp16": ("train.precision must be '32-true'", "'fp16'"),
    "train.compile: fast": ("train.compile must be true, false or 'reduce-overhead'", "'fast'"),
    "train.tensorboard: maybe": ("train.tensorboard must be true or false", "'maybe'"),
    "train.lr_factors: [1]": ("train.lr_factors must be a mapping", "[1]"),
    "train.lr_factors: {3: 0.1}": ("the key 3 of train.lr_factors must be a text", "quote it ('3')"),
    "train.lr_factors: {'a.*': -1}": ("train: the factor of 'a.*' in lr_factors must be above 0", "-1"),
    "train.optimizer: adam": ("train.optimizer must be a mapping", "write {name: adam}"),
    "train.optimizer: {lr: 0.1}": ("train: optimizer must be a name or a mapping with a key 'name'", "{lr: 0.1}"),
    "train.optimizer.name: addam": ("train: unknown optimizer 'addam'", "Did you mean 'adam'"),
    "train.optimizer.momentum: 1": ("train: unknown argument of optimizer 'adam': 'momentum'", "betas"),
    "train.optimizer.lr: fast": ("train: optimizer 'adam': lr must be a number", "'fast'"),
    "train.optimizer.lr: -1": ("train: optimizer: lr must be above 0", "-1"),
    "train.optimizer.betas: [0.9]": ("betas must be a list of 2 numbers", "[0.9]"),
    "train.schedule: {name: step}": ("train: schedule 'step' needs every", "add it"),
    "train.schedule: {name: polly}": ("train: unknown schedule 'polly'", "Did you mean 'poly'"),
    "encoder: hard_sharing": ("encoder must be a mapping", "write {name: hard_sharing}"),
    "encoder: {}": ("encoder must be a name or a mapping with a key 'name'", "{}"),
    "encoder.own: 0.9": ("encoder 'hard_sharing' has no options", "'own'"),
    f"encoder: {CROSS}own: null}}": ("encoder 'cross_stitch': own must be a number", "null"),
    f"encoder: {CROSS}onw: 1}}": ("unknown argument of encoder 'cross_stitch': 'onw'", "Did you mean 'own'"),
    "decoder.head: null": ("decoder 'independent': head must be a text or a mapping", "null"),
    "decoder.head: {name: hrnet, width: -4}": ("width must be above 0", "-4"),
    "balancer: {name: fixed, weights: [1, 2]}": ("balancer 'fixed': weights must be a mapping", "[1, 2]"),
    "balancer: {name: fixed, weights: {dept: 1}}": ("the balancer's weights: 'dept'", "Did you mean 'depth'"),
    "balancer: {name: dwa, temperature: 0}": ("temperature of dwa must be above 0", "0"),
    "backbone: {name: timm}": ("backbone 'timm' needs model", "add it"),
    "backbone.model: 18": ("backbone 'timm': model must be a text", "quote it ('18')"),
    "data: rooms": ("data must be a mapping or null", "write {name: rooms}"),
    "data.size: huge": ("dataset 'rooms': size must be 'tiny', 'small' or 'base'", "'huge'"),
    "data.root: x": ("unknown argument of dataset 'rooms': 'root'", "cache"),
    "tasks: depth": ("tasks must be a list or null", "write [depth]"),
    "tasks: {depth: 1}": ("tasks must be a list or null", "{depth: 1}"),
    "tasks: []": ("'tasks' is empty", "at least one"),
    "tasks: [depth, depth]": ("each task may stand once under 'tasks'", "['depth', 'depth']"),
    "tasks: [{weight: 1}]": ("task section {weight: 1} lacks 'name'", "depth"),
    "tasks: [{name: depth, wieght: 1}]": ("task 'depth': 'wieght'", "Did you mean 'weight'"),
    "tasks: [{name: depth, auxiliary: maybe}]": ("auxiliary must be true, false or null", "'maybe'"),
    "image_size: sixty": ("image_size must be a whole number, a list of 2 whole numbers or null", "'sixty'"),
    "image_size: 64x64": ("image_size must be a whole number, a list of 2 whole numbers or null", "'64x64'"),
    "image_size: [64, 64, 3]": ("image_size must be a list of 2 whole numbers", "[64, 64, 3]"),
    "image_size: [64.5, 64]": ("image_size[0] must be a whole number", "64.5"),
    "image_size: [-64, 64]": ("image_size [-64, 64] must be multiples of 32", "for example [32, 64]"),
    "augmentation: {hflip: 2}": ("augmentation: hflip must lie in [0, 1]", "2"),
    "augmentation: nyudd": ("unknown augmentation 'nyudd'", "survey_nyud"),
    "fit: crop": ("fit must be 'resize' or 'pad'", "'crop'"),
    "seed: 1.5": ("seed must be a whole number", "1.5"),
    "name: 3": ("name must be a text", "quote it ('3')"),
    "test_split: tset": ("test_split: 'tset'", "Did you mean 'test'"),
    "init_from: no/run": ("init_from: no/run holds no run", "frugalmtl train"),
    "init_from: ''": ("init_from is empty", "leave it out"),
    "init_from: [a]": ("init_from must be a mapping, a text or null", "['a']"),
    "init_from: {rnu: a}": ("init_from: 'rnu'", "Did you mean 'run'"),
    "init_from: {take: [structure]}": ("init_from lacks run", "add it"),
    "init_from: {run: ''}": ("init_from is empty", "leave it out"),
    "init_from: {run: no/run, take: []}": ("init_from: 'take' is empty", "weights, structure or both"),
    "init_from: {run: no/run, take: structure}": ("init_from.take must be a list", "write [structure]"),
    "init_from: {run: no/run, take: [wieghts]}": ("init_from.take[0] must be 'weights' or 'structure'", "'wieghts'"),
    "init_from: {run: no/run, take: [structure]}": ("init_from: no/run holds no run", "frugalmtl train"),
    "init_from: {run: no/run, seed: 1}": ("init_from: 'seed'", "no/run is no row"),
    "published: A paper": ("published must be a list, a mapping or null", "'A paper'"),
    "published: {title: x}": ("published lacks source", "add it"),
    "published: {source: x, convention: mac, flops: 1}": ("published: unknown FLOP convention 'mac'", "'macs'"),
    "published: [{source: x, score: {}}]": ("published[0]: 'score'", "Did you mean 'scores'"),
}
COMPARISONS: dict[str, Words] = {
    "rows: [one]": ("rows must be a mapping", "['one']"),
    "rows: {}": ("a comparison needs at least one row", "'rows'"),
    "rows.one: x": ("rows.one must be a mapping or null", "'x'"),
    "rows.one: {encodr: {}}": ("row 'one': 'encodr'", "Did you mean 'encoder'"),
    "rows.one: {train: {epochs: -1}}": ("row 'one': train: epochs must be above 0", "-1"),
    "rows.one: {seed: 3}": ("row 'one' sets 'seed'", "list 'seeds'"),
    "rows.one: {title: [x]}": ("'title' of row 'one' must be a text", "['x']"),
    "rows: {a b: {}, one: {}}": ("row 'a b' becomes a folder", "'title'"),
    "rows: {one: {init_from: two}, two: {}}": ("init_from of 'one': 'two'", "earlier row"),
    "rows: {one: {init_from: {run: two, take: [structure]}}, two: {}}": ("init_from of 'one': 'two'", "earlier row"),
    "rows: {one: {}, two: {init_from: {run: one, seed: 3}}}": ("init_from of row 'two' takes the run of seed 3", "0"),
    "rows: {one: {}, two: {init_from: oen}}": ("init_from of 'two': 'oen'", "Did you mean 'one'"),
    "rows: {one: {}, two: {init_from: {run: a/b, seed: 0}}}": ("row 'two': init_from: 'seed'", "a/b is no row"),
    "rows.one: {shown: maybe}": ("'shown' of row 'one' must be true or false", "'maybe'"),
    "rows.one: {shown: false}": ("row 'one' is the reference", "leave out 'shown'"),
    "rows: {one: {}, two: {shown: false}}": ("row 'two' is not shown", "no row that is shown starts from it"),
    "reference: two": ("reference: 'two'", "expected one of one"),
    "seeds: 3": ("seeds must be a list", "write [3]"),
    "seeds: [0, 0]": ("seeds must be one or more different numbers", "[0, 0]"),
    "panels: -1": ("panels must be 0 or more", "-1"),
    "photos: a.jpg": ("photos must be a list", "write [a.jpg]"),
    "published: [{source: x}]": ("needs a 'title'", "'x'"),
}
SWEEPS: dict[str, Words] = {
    "sweep: null": ("sweep must be a mapping", "null"),
    "sweep: {values: [1]}": ("sweep lacks key", "add it"),
    "sweep.key: encodr.own": ("the key of 'sweep': 'encodr'", "Did you mean 'encoder'"),
    "sweep.key: encoder.name": ("key 'encoder.name' of 'sweep'", "rows of their own"),
    "sweep.key: encoder.own.x": ("'encoder.own.x' of 'sweep'", "is null, not a section"),
    "sweep.values: 0.5": ("sweep.values must be a list or null", "write [0.5]"),
    "sweep.values: []": ("'values' of 'sweep' is empty", "at least one"),
    "sweep.values: [0.5, 0.5]": ("'values' of 'sweep' holds 0.5 more than once",),
    "sweep.low: 0.5": ("'values' or a range, but got both", "drop low"),
    "sweep.grid: {}": ("either a 'key' or a 'grid'", "drop key"),
    "sweep: {grid: {}}": ("'grid' of 'sweep' is empty", "key: [values]"),
    "sweep: {grid: {encoder.own: 0.5}}": ("must be a list", "write [0.5]"),
    "sweep: {grid: {encoder.own: []}}": ("'encoder.own' in the 'grid' of 'sweep' is empty", "at least one"),
    "sweep: {grid: {encoder.own: [1, 1]}}": ("'encoder.own' in the 'grid' of 'sweep' holds 1 more than once",),
    "sweep: {grid: {encodr.own: [0.5]}}": ("the key of 'sweep': 'encodr'", "Did you mean 'encoder'"),
    "colour_by: encoder.onw": ("no row has a value", "'encoder.onw'"),
    "sweep.row: {encodr: 1}": ("row of 'sweep': 'encodr'", "Did you mean 'encoder'"),
}
FLAGS: dict[str, Words] = {
    "--train.epoch 3": ("--train.epoch", "Did you mean 'epochs'"),
    "--train.epochs+ 3": ("--train.epochs+ adds to a list", "'epochs' is 1"),
    "--encoder cros_stitch": ("'cros_stitch'", "Did you mean 'cross_stitch'"),
    "--decoder.head.width 3": ("--decoder.head.width", "'head' is 'linear', not a section: write its section"),
    "--image_size [64,64": ("--image_size", "not valid YAML"),
    "--image_size 64,64": ("image_size must be a whole number, a list of 2 whole numbers or null", "'64,64'"),
    "--train.optimizer.lr -1": ("train: optimizer: lr must be above 0", "-1"),
    "--init_from.rnu x": ("--init_from.rnu", "Did you mean 'run'"),
    "--init_from.take [structure]": ("init_from lacks run", "add it"),
    "--init_from a/b --init_from.take [structure]": ("'init_from' is 'a/b', not a section", "{run: a/b, ...}"),
    "--seed 0x": ("seed must be a whole number", "'0x'"),
}
OF_PYTHON = re.compile(r"\b(int|float|str|bool|dict|NoneType|None|tuple|True|False|\w+Error|<class)\b")
CASES = [
    *(("train", mistake, words) for mistake, words in [*EXPERIMENTS.items(), *FLAGS.items()]),
    *(("compare", mistake, words) for mistake, words in COMPARISONS.items()),
    *(("sweep", mistake, words) for mistake, words in SWEEPS.items()),
]


def config_of(command: str) -> dict[str, Any]:
    """A sound config of a command."""
    content = copy.deepcopy(EXPERIMENT)
    if command == "train":
        return content
    content = {"base": content, "rows": {"one": {}}, "reference": "one"}
    if command == "sweep":
        content["base"]["encoder"] = {"name": "cross_stitch"}
        content["sweep"] = {"key": "encoder.own", "values": [0.5]}
    return content


@pytest.mark.parametrize(("command", "mistake", "words"), CASES, ids=[f"{case[0]} {case[1]}" for case in CASES])
def test_a_mistake_is_one_line(
    command: str, mistake: str, words: Words, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    content, flags = config_of(command), mistake.split(" ") if mistake.startswith("--") else []
    if not flags:
        key, _, value = mistake.partition(": ")
        *parents, last = key.split(".")
        place = content
        for parent in parents:
            place = place[parent]
        place[last] = yaml.safe_load(value)
    write_config(tmp_path / "config.yaml", content)
    assert main([command, "--config", "config.yaml", *flags]) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 1
    assert not [word for word in words if word not in lines[0]], lines[0]
    assert not OF_PYTHON.search(lines[0]), lines[0]
    assert [path.name for path in tmp_path.rglob("*")] == ["config.yaml"], "nothing is left behind"
