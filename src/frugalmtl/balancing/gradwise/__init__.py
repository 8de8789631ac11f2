"""Balancers that turn the tasks' gradients into one direction (aggregators by torchjd)."""
