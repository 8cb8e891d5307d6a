"""Build the docs as a web site in `var/site` (`make site`).

The program checks the links, and that the site loads nothing from other servers.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SITE = ROOT / "var" / "site"
BUILT = DOCS / ".site"
"""The output folder of Zensical, the builder of the site.

This folder must be in the folder of Zensical's configuration.
"""

LOADS = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*?\ssrc=["']?([^"'\s>]+)|<link\b[^>]*?\shref=["']?([^"'\s>]+)"""
)
LINKS = re.compile(r"""<a\b[^>]*?\shref=["']?([^"'\s>]+)""")


def main() -> int:
    """Build and check the site. Return 0, or print a line on stderr for each problem and return 1."""
    shutil.rmtree(BUILT, ignore_errors=True)
    build = [sys.executable, "-m", "zensical", "build", "--clean", "-f", str(DOCS / "zensical.toml")]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    said = built.stdout + built.stderr
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.rmtree(DOCS / ".cache", ignore_errors=True)  # each build starts without a cache
    if BUILT.exists():
        SITE.parent.mkdir(exist_ok=True)
        shutil.move(BUILT, SITE)
    wrong = [said] if built.returncode or "No issues found" not in said else problems(SITE)
    for problem in wrong:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{SITE / 'index.html'}\n" if not wrong else "")
    return 1 if wrong else 0


def problems(site: Path) -> list[str]:
    """Return a line for each resource that the site loads from another server, and for each broken link."""
    found = []
    # Samples are files of an app that is deployed, and 404.html is for a server at the root of a host.
    pages = set(site.rglob("*.html")) - set((site / "samples").rglob("*.html")) - {site / "404.html"}
    for page in sorted(pages):
        text, name = page.read_text(), page.relative_to(site)
        for match in LOADS.finditer(text):
            if urlsplit(where := match[1] or match[2]).netloc:
                found.append(f"{name} loads {where}")
        for where in LINKS.findall(text):
            link = urlsplit(where)
            if not link.scheme and not link.netloc and link.path and not (page.parent / unquote(link.path)).exists():
                found.append(f"{name} links to {where}, which is not in the site")
    for sheet in sorted(site.rglob("*.css")):
        if re.search(r"@import|url\(\s*[\"']?(?:https?:)?//", sheet.read_text()):
            found.append(f"{sheet.relative_to(site)} loads a resource from another server")
    return found


if __name__ == "__main__":
    sys.exit(main())
