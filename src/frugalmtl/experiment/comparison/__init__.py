"""Comparisons and sweeps: several runs, made by one process or many, and their results."""
