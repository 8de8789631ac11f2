"""Measured cost of experiments: networks as trained and as deployed, and training steps."""
