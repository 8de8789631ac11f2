from ._registry import BalancerRegistry
from ._stacking import SCALARIZERS as SCALARIZERS
from ._transfers import HostCopy as HostCopy
from .base import Balancer as Balancer
from .base import BalancerReport as BalancerReport
from .base import ForwardPass as ForwardPass
from .base import StepContext as StepContext
from .gradients import RepresentationCut as RepresentationCut

BALANCERS: BalancerRegistry
