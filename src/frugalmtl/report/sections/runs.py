"""Configuration and environment: seeds, runs, config and versions of every row, folded."""

from __future__ import annotations

import math

import yaml
from markupsafe import Markup

from frugalmtl.core.documents.json_values import json_value
from frugalmtl.report.page import Page
from frugalmtl.report.results import Row
from frugalmtl.report.sections.base import Section


class Runs(Section):
    """A fold per row."""

    title = "Configuration and environment"
    order = 90

    def render(self, page: Page) -> Markup:
        """Always there."""
        rows = [(row, _chosen(row), _blocks(row)) for row in page.results.rows]
        return page.render("runs.html", rows=rows, nan=math.nan)


def _chosen(row: Row) -> bool:
    """Whether scores chose which weights are kept, or when a training ended, so that it is shown."""
    train = row.config.get("train", {})
    return isinstance(train, dict) and (train.get("keep") == "best" or bool(train.get("patience")))


def _blocks(row: Row) -> list[tuple[str, str]]:
    """Config and environment of the runs, as YAML."""
    blocks = (("Configuration", row.config), ("Environment", row.environment))
    return [(title, _plain(content)) for title, content in blocks if content]


def _plain(content: object) -> str:
    return yaml.safe_dump(json_value(content), sort_keys=False, allow_unicode=True, default_flow_style=False, width=110)
