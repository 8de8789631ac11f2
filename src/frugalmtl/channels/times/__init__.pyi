from .layers import SizedLayer as SizedLayer
from .layers import layers_of as layers_of
from .machine import Machine as Machine
from .machine import good_multiple as good_multiple
from .machine import processor_name as processor_name
from .table import LayerTimes as LayerTimes
from .table import Timing as Timing
