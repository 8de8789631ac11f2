"""Checkpoints: folders that are whole or not there, the weights in them, and the state that a run goes on from."""

from frugalmtl.engine.checkpoints.folder import FINAL, Checkpoints, step_name
from frugalmtl.engine.checkpoints.saved_run import SavedRun, facts_at_start, find_saved_run, read_state
from frugalmtl.engine.checkpoints.weights import load_matching_weights, load_trained, load_weights, restore

__all__ = [
    "FINAL",
    "Checkpoints",
    "SavedRun",
    "facts_at_start",
    "find_saved_run",
    "load_matching_weights",
    "load_trained",
    "load_weights",
    "read_state",
    "restore",
    "step_name",
]
