from .loader import Loader as Loader
from .loader import collate as collate
from .workers import Workers as Workers
from .workers import worker_count as worker_count
