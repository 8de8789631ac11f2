"""Furnished rooms with people, as primitives, lights and a camera."""
