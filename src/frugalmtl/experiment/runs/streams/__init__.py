"""Streams of a run: the parts of its data that are trained on and looked at, and what is measured on them."""
