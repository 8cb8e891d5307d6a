"""Look up known vulnerabilities of all packages of the lock: `make audit`. Options of pip-audit can follow.

Exit codes: 0 no known vulnerability, 1 vulnerabilities, 3 the advisory database could not be asked about all packages.

Without code 3, a machine behind a mirror would report a clean list: pip-audit ends with code 0 if the index knows none
of the packages.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from scripts.supply import LOCK, TOOLS

CLEAN, VULNERABLE, NOT_REACHABLE = 0, 1, 3


def main(options: Sequence[str]) -> int:
    """Print what pip-audit finds, and return the exit code."""
    command = [str(TOOLS / "pip-audit"), "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    done = subprocess.run(
        [*command, "--format", "json", "--requirement", str(LOCK), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    code, said = judged(done.stdout, done.stderr)
    sys.stdout.write(f"{said}\n")
    return code


def judged(output: str, errors: str) -> tuple[int, str]:
    """Return the exit code and the text for people, from the JSON and the error output of pip-audit."""
    try:
        found: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        cause = (errors.strip() or "it answered nothing").splitlines()[-1][:300]
        return NOT_REACHABLE, f"The advisory database is not reachable, so nothing was checked: {cause}"
    lines = [
        f"{each['name']} {each['version']}: {one['id']}, corrected in {', '.join(one['fix_versions']) or 'no version'}"
        for each in found
        for one in each.get("vulns", [])
    ]
    if unknown := [each["name"] for each in found if "skip_reason" in each]:
        lines.append(
            f"The advisory database is not reachable for {len(unknown)} of {len(found)} packages, which were not "
            f"checked: {', '.join(unknown[:5])}{' ...' if len(unknown) > 5 else ''}"
        )
    if any(each.get("vulns") for each in found):
        return VULNERABLE, "\n".join(lines)
    if unknown:
        return NOT_REACHABLE, "\n".join(lines)
    return CLEAN, f"No known vulnerability in {len(found)} packages"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
