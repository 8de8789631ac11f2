from .examination import Examined as Examined
from .examination import examined as examined
from .labels import LabelCounts as LabelCounts
from .labels import label_counts as label_counts
from .splits import SplitCounts as SplitCounts
