"""The record of what a network predicts and expects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.runs.network import NetworkFacts
from frugalmtl.tasks import TASKS

FACTS = NetworkFacts((32, 32), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), (TASKS.build("depth"),))


def test_a_run_remembers_how_its_images_were_turned(tmp_path: Path) -> None:
    facts = NetworkFacts(FACTS.image_size, FACTS.mean, FACTS.std, FACTS.tasks, "ignore")
    file = tmp_path / "network.json"
    file.write_text(facts.to_json())
    assert NetworkFacts.read(file) == facts
    file.write_text(facts.to_json().replace("ignore", "sideways"))
    with pytest.raises(UserError, match="exif"):
        NetworkFacts.read(file)


def test_records_of_before_are_turned_as_predict_always_did(tmp_path: Path) -> None:
    assert "exif" not in json.loads(FACTS.to_json())
    file = tmp_path / "network.json"
    file.write_text(FACTS.to_json())
    assert NetworkFacts.read(file).exif == "apply"
