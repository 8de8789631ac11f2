"""Documents of plain values: YAML and JSON, read within bounds."""

from frugalmtl.core.documents.archives import require_stored
from frugalmtl.core.documents.json_reader import parse_json, read_json
from frugalmtl.core.documents.yaml_loader import UnreadableError
from frugalmtl.core.documents.yaml_reader import mapping, parse_yaml, read_yaml_mapping

__all__ = ["UnreadableError", "mapping", "parse_json", "parse_yaml", "read_json", "read_yaml_mapping", "require_stored"]
