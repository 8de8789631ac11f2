"""``frugalmtl list``: names of packages, words for members and keys of configs; docstrings without markup."""

from __future__ import annotations

import re

import pytest

from frugalmtl.cli.main import main
from frugalmtl.core.schema.docs import documentation, readable
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.flags import sections
from frugalmtl.experiment.config.registries import LISTED, registry_of

WORDS = {
    "balancer": "pcgrad",
    "balancing": "pcgrad",
    "data": "rooms",
    "dataset": "rooms",
    "encoder": "cross_stitch",
    "optimizer": "adamw",
    "train.optimizer": "adamw",
    "schedule": "cosine",
    "encodings": "scaled",
    "encoding": "scaled",
    "presets": "survey_nyud",
    "head": "linear",
    "export": "onnx",
}


@pytest.mark.parametrize("word", WORDS)
def test_a_registry_goes_by_its_name_and_its_keys(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", word]) == 0
    assert re.search(rf"^  {WORDS[word]}  ", capsys.readouterr().out, flags=re.MULTILINE)


def test_every_section_of_a_config_names_a_registry_that_is_listed() -> None:
    by_key = sections(Experiment)
    assert {"data", "backbone", "encoder", "decoder", "balancer", "train.optimizer", "train.schedule"} == set(by_key)
    for key, registry in by_key.items():
        assert registry_of(key) is registry_of(key.split(".")[-1]) is registry
        assert registry in LISTED.values()


@pytest.mark.parametrize("title", LISTED)
def test_documentation_of_members_has_no_markup(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in LISTED[title].names():
        assert main(["list", title, name]) == 0
        text = capsys.readouterr().out
        assert not re.search(r"``|:\w+:`", text), f"{title}/{name}: {text}"
        assert "Args:" not in text
        for key in LISTED[title].schema(name):
            assert re.search(rf"^{key}: .+\((required|default .+)\)$", text, flags=re.MULTILINE), (
                f"{title}/{name}.{key}"
            )


def test_options_of_exporters_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "export", "onnx"]) == 0
    assert "dynamic_size: true or false (default False)" in capsys.readouterr().out


def test_presets_show_their_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "presets"]) == 0
    assert "scale (1.0, 1.2, 1.5)" in capsys.readouterr().out
    assert main(["list", "presets", "atrc"]) == 0
    assert "scale: a list (default (0.5, 2.0))" in capsys.readouterr().out


def test_paragraphs_are_filled_and_formulas_are_not_broken() -> None:
    text = "Features are mixed\nlike ``y_i = a_i x``,\nsee :class:`~a.b.Mixer`.\n\n    indented = as it is\n\nEnd::"
    assert readable(text, 30) == "Features are mixed like\ny_i = a_i x, see Mixer.\n\n    indented = as it is\n\nEnd:"
    points = "Choices:\n\n- One that is\n  long enough.\n- Two."
    assert readable(points, 16) == "Choices:\n\n- One that is\n  long enough.\n- Two."
    assert all("a_i x" in line or "a_i" not in line for line in readable(text, 24).split("\n"))


def test_documentation_takes_parameters_of_bases() -> None:
    class Base:
        """Base.

        Args:
            weight: how heavy.
            mode: which way.
        """

    class Member(Base):
        """First line.

        More text.

        Args:
            mode: its own way,
                over two lines.
        """

    docs = documentation(Member)
    assert (docs.summary, docs.text) == ("First line.", "More text.")
    assert docs.parameters == {"weight": "how heavy.", "mode": "its own way, over two lines."}
