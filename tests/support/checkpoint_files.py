"""Changes to the files of a checkpoint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def replace_file(folder: Path, file: str, data: bytes) -> None:
    """Overwrite a file as somebody would who also fixes the manifest."""
    (folder / file).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][file]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
