import frugalmtl.core.registry

from .augmentation import PRESETS as PRESETS
from .augmentation import Augmentation as Augmentation
from .augmentation import augmentation as augmentation
from .augmentation import preset as preset
from .base import Dataset as Dataset
from .base import Sample as Sample
from .base import Split as Split
from .check import check as check
from .loading import Loader as Loader
from .loading import collate as collate
from .parts import part as part
from .problems import BadFileError as BadFileError
from .problems import Problem as Problem
from .transforms import Example as Example
from .transforms import Transform as Transform

DATASETS: frugalmtl.core.registry.Registry
