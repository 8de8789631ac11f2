"""Furnished rooms with people, ray-cast on the spot, with exact labels for seven kinds of task.

NumPy is all that is needed. Importing is cheap: tables are made at the first picture.

>>> picture = render(seed=3, size=64)
>>> picture.image.shape, CLASSES[picture.segmentation[0, 0]]
((64, 64, 3), 'ceiling')
"""

from frugalmtl_rooms.rendering import RenderError, RoomSample, clip, render
from frugalmtl_rooms.vocabulary import ATTRIBUTES, CLASSES, PARTS

__all__ = ["ATTRIBUTES", "CLASSES", "PARTS", "RenderError", "RoomSample", "clip", "render"]
