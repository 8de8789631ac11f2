import frugalmtl.core.registry

from .base import Decoder as Decoder

DECODERS: frugalmtl.core.registry.Registry
