"""Scalarization: balancers that weigh the losses and go back from their sum."""
