import frugalmtl.core.registry

from .base import Exported as Exported
from .base import Exporter as Exporter

EXPORTERS: frugalmtl.core.registry.Registry
