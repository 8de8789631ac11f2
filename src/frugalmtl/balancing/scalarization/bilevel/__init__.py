"""Weights that follow an objective of their own, moved by an Adam of their own (bilevel methods)."""
