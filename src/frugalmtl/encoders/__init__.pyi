import frugalmtl.core.registry

from ._deciding import DecidingEncoder as DecidingEncoder
from ._deciding import DecidingModule as DecidingModule
from ._training import StageView as StageView
from ._training import TrainingHooks as TrainingHooks
from ._views import BACKBONE_VIEWS as BACKBONE_VIEWS
from ._views import views_of as views_of
from .base import Encoder as Encoder

ENCODERS: frugalmtl.core.registry.Registry
