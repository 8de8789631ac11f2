"""Flags of ``frugalmtl deploy``: every option of every format by a short name, wherever ``--format`` stands."""

from __future__ import annotations

from typing import Any

import pytest

from frugalmtl.cli.commands.deploy import SHORT, parser
from frugalmtl.core.checks import UserError
from frugalmtl.export import EXPORTERS


def section_of(*flags: str) -> dict[str, Any]:
    section: dict[str, Any] = parser().parse_args(["run", *flags]).settings.format
    return section


def test_every_option_of_every_format_has_a_flag() -> None:
    assert {option for name in EXPORTERS.names() for option in EXPORTERS.schema(name)} == set(SHORT)


def test_flags_set_options() -> None:
    expected = {"name": "onnx", "size": [480, 640], "dynamic_size": True, "batch": 4, "tolerance": 0.001}
    flags = ["--size", "480x640", "--dynamic-size", "--batch=4", "--tolerance", "1e-3"]
    for order in ([*flags, "--format", "onnx"], ["--format", "onnx", *flags], ["--format=onnx", *flags]):
        section = section_of(*order)
        assert {**section, "size": list(section["size"]), "tolerance": float(section["tolerance"])} == expected
        EXPORTERS.check(section)
    assert section_of() == {"name": "torch_export"}
    assert section_of("--format", "onnx", "--no-dynamic-size") == {"name": "onnx", "dynamic_size": False}


@pytest.mark.parametrize("size", ["480", "480x", "axb", "-480x640", "1.5x2"])
def test_a_size_that_is_none(size: str) -> None:
    with pytest.raises(UserError, match="--size is HEIGHTxWIDTH, such as 480x640"):
        section_of(f"--size={size}")


def test_an_option_of_another_format() -> None:
    with pytest.raises(UserError, match="dynamic_size"):
        EXPORTERS.check(section_of("--format", "safetensors", "--dynamic-size"))
