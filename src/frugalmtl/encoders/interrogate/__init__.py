"""InterroGate: channel-wise gates between task-specific and shared features (Ehteshami Bejnordi et al., 2024)."""

from frugalmtl.encoders.interrogate.member import interrogate

__all__ = ["interrogate"]
