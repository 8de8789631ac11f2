"""Balancers that turn the tasks' losses into one scalar."""
