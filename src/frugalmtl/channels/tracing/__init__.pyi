from .trace import branch_of as branch_of
from .trace import graph_of as graph_of
