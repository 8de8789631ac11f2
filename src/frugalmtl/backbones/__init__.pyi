import frugalmtl.core.registry

from .base import Backbone as Backbone
from .base import BlockInfo as BlockInfo
from .base import State as State
from .base import state_of as state_of
from .base import tensors_of as tensors_of

BACKBONES: frugalmtl.core.registry.Registry
