"""Registries: members by file name, sections checked by signature."""

from __future__ import annotations

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.registry import Registry, Spec
from frugalmtl.encoders import ENCODERS
from frugalmtl.export import EXPORTERS
from frugalmtl.tasks import TASKS


def test_names_are_the_files_of_the_folder() -> None:
    assert "depth" in TASKS.names()
    assert "base" not in TASKS.names()
    assert not any(name.startswith("_") for name in TASKS.names())


def test_values_are_parsed_to_the_signature() -> None:
    spec = TASKS.check({"name": "segmentation", "classes": ["a", "b"], "weight": 2})
    assert spec == Spec("segmentation", {"classes": ("a", "b"), "weight": 2.0})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "depth", "weigth": 2}, "Did you mean 'weight'"),
        ({"name": "depth", "weight": "heavy"}, "weight must be a number, but got 'heavy'"),
        ({"name": "dept"}, "Did you mean 'depth'"),
        ({"name": "segmentation"}, "needs classes"),
        ({"weight": 1}, "key 'name'"),
        (3, "but got 3"),
    ],
)
def test_a_wrong_section_gives_one_clear_line(section: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        TASKS.build(section)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_names_that_belong_elsewhere_say_what_to_do() -> None:
    with pytest.raises(UserError, match=r"format 'tensorrt' is none of onnx, .*: write onnx.*trtexec --onnx=FILE"):
        EXPORTERS.check("tensorrt")


def test_a_file_without_its_member_is_a_defect() -> None:
    with pytest.raises(TypeError, match="no class or function named like its file"):
        Registry("frugalmtl.core", "thing").get("types")


def test_facts_of_members() -> None:
    assert ENCODERS.fact("single_task", "shares") is False
    assert ENCODERS.fact("hard_sharing", "shares") is True
    assert ENCODERS.fact("interrogate", "learns_cost") is True  # a function that builds an encoder
    assert ENCODERS.fact("interrogate", "no such fact", default=3) == 3
