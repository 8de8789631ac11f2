"""Thin commands over :mod:`frugalmtl.experiment`; no logic."""
