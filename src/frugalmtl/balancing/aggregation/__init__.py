"""Balancers that turn the tasks' gradients into one direction (some with weights computed by torchjd)."""
