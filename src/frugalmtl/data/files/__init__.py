"""Image and array files: one reader for training, checks and predictions."""

from frugalmtl.data.files.decoding import EXIF, Exif, exif_rule
from frugalmtl.data.files.images import read_image, read_pixels
from frugalmtl.data.files.stored import StoredLabel, read_stored

__all__ = ["EXIF", "Exif", "StoredLabel", "exif_rule", "read_image", "read_pixels", "read_stored"]
