"""Write the software bill of materials (SBOM) of Holdgate as CycloneDX JSON: `make sbom`.

cyclonedx-py reads the packages and hashes from the lock. This module adds what the lock knows besides: which package
needs which, and which packages only traces need. It also adds licences, where the packages are installed, and the
JavaScript and CSS files that the gateway serves.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from core.settings import ROOT
from scripts.supply import LOCK, REQUIREMENTS, TOOLS

OUTPUT = ROOT / "var" / "sbom" / "holdgate.cdx.json"
VENDOR = ROOT / "api" / "static" / "vendor"
VERSION = "1.6"
"""The version of CycloneDX."""
_PACKAGE = re.compile(r"^([a-z0-9-]+)==([^\s;]+)", re.MULTILINE)
_VIA = re.compile(r"^    # (?:via |  )(\S+)( \(pyproject\.toml\S*\))?$", re.MULTILINE)


def main() -> None:
    """Write the SBOM to `OUTPUT`."""
    options = ["--pyproject", "pyproject.toml", "--short-PURLs", "--output-reproducible", "--sv", VERSION]
    command = [str(TOOLS / "cyclonedx-py"), "requirements", *options, "--of", "JSON", str(LOCK)]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}  # it warns that the graph has no root, which is added below
    done = subprocess.run(command, cwd=ROOT, env=quiet, stdout=subprocess.PIPE, check=True)
    listed = json.loads(done.stdout)
    bom = completed(listed, LOCK.read_text(), (REQUIREMENTS / "runtime.txt").read_text())
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(bom, indent=2) + "\n")
    sys.stdout.write(f"{len(bom['components'])} components: {OUTPUT}\n")


def completed(listed: dict[str, Any], lock: str, runtime: str) -> dict[str, Any]:
    """Return the SBOM that cyclonedx-py has listed from `lock`, with all that it cannot know.

    `runtime` is the lock without extras. Raises ValueError if a file of `api/static/vendor` differs from its manifest.
    """
    always = {name for name, _ in _PACKAGE.findall(runtime)}
    components = [_of_package(each, optional=each["name"] not in always) for each in listed["components"]]
    root = listed["metadata"]["component"]
    files = [_of_vendor(entry) for entry in json.loads((VENDOR / "manifest.json").read_text())]
    needs = _needs(lock, root["bom-ref"], {each["name"]: each["purl"] for each in components})
    needs[root["bom-ref"]] |= {each["bom-ref"] for each in files}
    bom = {
        **listed,
        "components": components + files,
        "dependencies": [{"ref": name, "dependsOn": sorted(others)} for name, others in sorted(needs.items())],
    }
    content = hashlib.sha256(json.dumps(bom, sort_keys=True).encode()).hexdigest()
    return {**bom, "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, content)}"}


def _of_package(listed: dict[str, Any], *, optional: bool) -> dict[str, Any]:
    """Return the component of a package, with its package URL as its id instead of its line in the lock."""
    component = {name: value for name, value in listed.items() if name != "description"}
    component |= {"bom-ref": listed["purl"], "scope": "optional" if optional else "required"}
    if licence := _licence(listed["name"], listed["version"]):
        component["licenses"] = [licence]
    return component


def _licence(name: str, version: str) -> dict[str, Any] | None:
    """Return the licence that an installed package declares; None if another version, or none, is installed."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    if found.version != version:
        return None
    if expressions := found.metadata.get_all("License-Expression"):
        return {"expression": expressions[0]}
    classifiers = (each.split(" :: ") for each in found.metadata.get_all("Classifier") or ())
    names = [parts[-1] for parts in classifiers if parts[0] == "License" and len(parts) > 2]
    return {"license": {"name": names[0]}} if names else None


def _of_vendor(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the component of a package of npm, of which `api/static/vendor` has some files."""
    files = []
    for name, expected in entry["sha256"].items():
        if hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{VENDOR / name} is not the file of manifest.json: restore it, or correct the manifest")
        ref = f"file:api/static/vendor/{name}"
        hashes = [{"alg": "SHA-256", "content": expected}]
        files.append({"type": "file", "bom-ref": ref, "name": name, "hashes": hashes})
    purl = f"pkg:npm/{entry['package']}@{entry['version']}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": entry["package"],
        "version": entry["version"],
        "purl": purl,
        "scope": "required",
        "licenses": [{"license": {"id": entry["licence"]}}],
        "components": files,
    }


def _needs(lock: str, root: str, refs: dict[str, str]) -> dict[str, set[str]]:
    """Return which component needs which, by their ids, from the comments `via` of a lock."""
    needs: dict[str, set[str]] = {ref: set() for ref in (root, *refs.values())}
    starts = [*_PACKAGE.finditer(lock)]
    ends = [*(each.start() for each in starts[1:]), len(lock)]
    for start, end in zip(starts, ends, strict=True):
        for by, is_root in _VIA.findall(lock[start.end() : end]):
            if is_root or by in refs:
                needs[root if is_root else refs[by]].add(refs[start[1]])
    return needs


if __name__ == "__main__":
    main()
