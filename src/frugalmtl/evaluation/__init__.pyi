from .evaluator import evaluate as evaluate
from .infer import infer as infer
from .metrics import METRICS as METRICS
from .metrics import Score as Score
