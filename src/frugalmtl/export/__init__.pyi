import frugalmtl.core.registry

from ._record import ModelFacts as ModelFacts
from ._session import OnnxSession as OnnxSession
from ._session import in_onnxruntime as in_onnxruntime
from ._session import sessions_where_possible as sessions_where_possible
from ._session import stopwatch_of as stopwatch_of
from .base import Exported as Exported
from .base import Exporter as Exporter

EXPORTERS: frugalmtl.core.registry.Registry
