"""Runs: the objects of an experiment, its training, and the folder that keeps it."""
