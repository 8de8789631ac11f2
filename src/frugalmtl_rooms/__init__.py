"""Embedded data: furnished rooms with people, ray-cast on the spot, with exact labels for seven kinds of task.

Needs NumPy alone; tables are made at the first picture, so importing is cheap.
"""

from __future__ import annotations

from frugalmtl_rooms.render import RoomSample, clip, render
from frugalmtl_rooms.vocabulary import ATTRIBUTES, CLASSES, PARTS

__all__ = ["ATTRIBUTES", "CLASSES", "PARTS", "RoomSample", "clip", "render"]
