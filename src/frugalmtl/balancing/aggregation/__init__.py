"""Aggregation: balancers that make one direction of a gradient per task."""
