"""Image and array files: one reader for training, checks and predictions."""

from frugalmtl.data.files.decoding import EXIF, Exif, exif_rule
from frugalmtl.data.files.images import Photograph, read_photograph
from frugalmtl.data.files.stored import StoredLabel, read_stored

__all__ = ["EXIF", "Exif", "Photograph", "StoredLabel", "exif_rule", "read_photograph", "read_stored"]
