"""Predictions on photographs, and their pictures."""
