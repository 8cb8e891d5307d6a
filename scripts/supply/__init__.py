"""What Holdgate is made of: the list of all packages (`make sbom`), and their known vulnerabilities (`make audit`).

Both run tools from an environment of their own, `var/tools`, so that no tool changes the packages that it looks at.
"""

from core.settings import ROOT

TOOLS = ROOT / "var" / "tools" / "bin"
"""The programs of the group `supply` of pyproject.toml, which `make` installs from `config/requirements/supply.txt`."""
REQUIREMENTS = ROOT / "config" / "requirements"
LOCK = REQUIREMENTS / "otel.txt"
"""The lock with every package that an installation can have: those of `runtime.txt`, and those for traces."""
