"""Times of single layers on a machine, by their output channels."""

from frugalmtl.channels.times.layers import SizedLayer, layers_of
from frugalmtl.channels.times.machine import Machine, good_multiple, processor_name
from frugalmtl.channels.times.table import LayerTimes, Timing

__all__ = ["LayerTimes", "Machine", "SizedLayer", "Timing", "good_multiple", "layers_of", "processor_name"]
