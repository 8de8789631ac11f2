"""frugalmtl: efficient multi-task vision, every saved operation saved on the clock."""

__version__ = "0.1.0"
