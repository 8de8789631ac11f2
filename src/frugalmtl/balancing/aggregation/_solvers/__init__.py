"""Solvers behind the aggregators: least squares on cones, and weightings of torchjd."""
