"""InterroGate: learn per channel what to share, then delete what nobody picks."""

from frugalmtl.encoders.interrogate.encoder import InterroGate

__all__ = ["InterroGate"]
