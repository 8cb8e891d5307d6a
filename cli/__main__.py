"""Run the command line: `./holdgate` and, in the checkout, `python -m cli` start this module."""

import sys
from pathlib import Path

# `./holdgate` names this folder, and Python would look for modules in it. They are in the checkout, and never in the
# folder in which somebody works.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from cli.app import main  # noqa: E402

sys.exit(main())
