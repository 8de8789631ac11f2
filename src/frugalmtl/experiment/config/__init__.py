"""Typed configs: an experiment, a comparison of several, a sweep over an axis."""
