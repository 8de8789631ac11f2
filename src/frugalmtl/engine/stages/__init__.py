"""Stages of a recipe: the modes of layers, turns and streams, and what a stage ends with."""
