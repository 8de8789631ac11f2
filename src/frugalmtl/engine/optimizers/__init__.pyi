from ._check import check_optimizer as check_optimizer
from ._set import OptimizerSet as OptimizerSet
from ._table import TableRegistry as TableRegistry

OPTIMIZERS: TableRegistry
