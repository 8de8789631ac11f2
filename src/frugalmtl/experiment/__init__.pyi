from .config.registries import REGISTRIES as REGISTRIES
