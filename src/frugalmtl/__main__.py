"""``python -m frugalmtl`` is the command line."""

import sys

from frugalmtl.cli.main import main

sys.exit(main())
