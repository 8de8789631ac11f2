"""Files beside an exported network: ``model.json``, and a script that runs ONNX files on photographs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import mapping, parse_json
from frugalmtl.core.files import read_text, write_text
from frugalmtl.export.base import Exported

RECORDS = "model.json"
SCRIPT = "run_model.py"
_TEMPLATE = Path(__file__).with_name("_run_model.py")
_RUNS = ".onnx"
_AXIS = r'\n\s*(?:-?[\d.e+-]+|"[NHW]")'
_SHORT = re.compile(rf"\[({_AXIS}(?:,{_AXIS})*)\n\s*\]")
"""A list of numbers and names of axes over several lines, which no text within JSON can hold."""


def described(folder: Path) -> dict[str, Any]:
    """Records of the networks that a folder's ``model.json`` describes and that are still there, by file name.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / RECORDS
    if not path.exists():
        return {}
    try:
        records = mapping(parse_json(read_text(path, "description of exported networks")), str(path))
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({error}): delete it; it is written again, for the networks exported from then on"
        ) from None
    return {name: record for name, record in records.items() if (folder / name).is_file()}


def write_beside(exported: Exported, records: dict[str, Any]) -> list[Path]:
    """Write what stands in a file of a network beside it too, and for ONNX files the script; returns the files.

    A script that was changed stays as it is.

    Args:
        exported: the network.
        records: of the other networks in its folder (:func:`described`).
    """
    path = Path(exported.path)
    table = path.with_name(RECORDS)
    write_text(table, _readable({**records, path.name: exported.record}))
    if path.suffix != _RUNS:
        return [table]
    script, text = path.with_name(SCRIPT), _TEMPLATE.read_text(encoding="utf-8")
    if not script.exists():
        write_text(script, text)
    return [table, script]


def _readable(records: dict[str, Any]) -> str:
    """JSON with a line for each key, and short lists of numbers in one."""
    text = json.dumps(records, indent=1, ensure_ascii=False)
    return _SHORT.sub(lambda match: f"[{', '.join(item.strip() for item in match[1].split(','))}]", text) + "\n"


def changed_script(exported: Exported) -> bool:
    """Whether the script beside a network is not the one that this version writes."""
    script = Path(exported.path).with_name(SCRIPT)
    return script.exists() and script.read_bytes() != _TEMPLATE.read_bytes()
