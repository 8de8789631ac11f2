"""Signatures as schemas: reading plain values by them, their documentation, and the JSON Schema of configs."""

from frugalmtl.core.schema.reading import Parameters, fits, in_words, parameters, read, read_arguments, replace_types

__all__ = ["Parameters", "fits", "in_words", "parameters", "read", "read_arguments", "replace_types"]
