"""Checkpoints: folders that are whole or not there, the weights in them, and the state that a run goes on from."""

from frugalmtl.engine.checkpoints.folder import FINAL, INITIAL, Checkpoints, step_name
from frugalmtl.engine.checkpoints.saved_run import SavedRun, facts_at_start, find_saved_run, read_state
from frugalmtl.engine.checkpoints.weights import (
    begin_anew,
    load_matching_weights,
    load_trained,
    load_weights,
    read_structure,
    restore,
    set_structure,
)

__all__ = [
    "FINAL",
    "INITIAL",
    "Checkpoints",
    "SavedRun",
    "begin_anew",
    "facts_at_start",
    "find_saved_run",
    "load_matching_weights",
    "load_trained",
    "load_weights",
    "read_state",
    "read_structure",
    "restore",
    "set_structure",
    "step_name",
]
