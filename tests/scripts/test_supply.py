"""The list of packages (SBOM) is complete and valid, and an audit that could not look is never clean."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from scripts.supply import LOCK, REQUIREMENTS, TOOLS, audit, sbom
from tests.support.installed_app import ROOT

SCHEMAS = Path(__file__).parent / "cyclonedx"
PACKAGES = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", LOCK.read_text(), re.MULTILINE))


@cache
def validator() -> jsonschema.Draft7Validator:
    named = {
        f"http://cyclonedx.org/schema/{path.name.replace('.schema', '.SNAPSHOT.schema')}": path
        for path in SCHEMAS.glob("*.json")
    }
    registry: Registry[Any] = Registry().with_resources(
        (uri, Resource.from_contents(json.loads(path.read_text()))) for uri, path in named.items()
    )
    return jsonschema.Draft7Validator(json.loads((SCHEMAS / "bom-1.6.schema.json").read_text()), registry=registry)


def listed() -> dict[str, Any]:
    """The lock in the form in which cyclonedx-py lists it."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"bom-ref": "root-component", "type": "application", "name": "holdgate"}},
        "components": [
            {
                "bom-ref": f"requirements-L{number}",
                "description": "requirements line",
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
            }
            for number, (name, version) in enumerate(PACKAGES.items())
        ],
    }


def completed() -> dict[str, Any]:
    return sbom.completed(listed(), LOCK.read_text(), (REQUIREMENTS / "runtime.txt").read_text())


def check(bom: dict[str, Any]) -> None:
    """Check what each SBOM of this product must hold."""
    assert validator().is_valid(bom), next(validator().iter_errors(bom))
    components = {each["bom-ref"]: each for each in bom["components"]}
    assert {f"pkg:pypi/{name}@{version}" for name, version in PACKAGES.items()} <= components.keys()
    vendored = {each["name"] for parent in components.values() for each in parent.get("components", [])}
    served = {path.name for path in sbom.VENDOR.iterdir()} - {"manifest.json"}
    assert vendored == served, "each file that the gateway serves is listed with its hash"
    needs = {each["ref"]: each["dependsOn"] for each in bom["dependencies"]}
    reached, ahead = set(), [bom["metadata"]["component"]["bom-ref"]]
    while ahead:
        if (ref := ahead.pop()) not in reached:
            reached.add(ref)
            ahead += needs.get(ref, [])
    assert components.keys() <= reached, "the product needs each component, directly or through another one"
    optional = {each["name"] for each in components.values() if each["scope"] == "optional"}
    assert "opentelemetry-sdk" in optional and "fastapi" not in optional
    licences = [each for each in components.values() if each.get("licenses")]
    assert len(licences) > len(components) / 2


def test_an_sbom_is_valid_and_lists_each_package_and_file() -> None:
    check(completed())


def test_an_sbom_is_the_same_for_the_same_lock() -> None:
    assert completed() == completed()
    assert completed()["serialNumber"].startswith("urn:uuid:")


@pytest.mark.parametrize("wrong", [{"type": "jar"}, {"hashes": [{"alg": "SHA-256", "content": "x"}]}])
def test_the_schema_refuses_a_wrong_component(wrong: dict[str, Any]) -> None:
    """So that the test above can fail."""
    bom = completed()
    bom["components"][0] |= wrong
    assert not validator().is_valid(bom)


def test_a_vendored_file_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(sbom.VENDOR, tmp_path / "vendor")
    (tmp_path / "vendor" / "htmx.js").write_text("another file")
    monkeypatch.setattr(sbom, "VENDOR", tmp_path / "vendor")
    with pytest.raises(ValueError, match=r"htmx\.js is not the file of manifest\.json"):
        completed()


@pytest.mark.conformance
def test_make_sbom_writes_such_a_list() -> None:
    if not (TOOLS / "cyclonedx-py").exists():
        pytest.skip("`make sbom` installs cyclonedx-py")
    subprocess.run([sys.executable, "-m", "scripts.supply.sbom"], cwd=ROOT, check=True)
    check(json.loads(sbom.OUTPUT.read_text()))


GOOD = {"name": "fastapi", "version": "1", "vulns": []}
BAD = {"name": "rich", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "typer", "skip_reason": "Dependency not found on PyPI and could not be audited: typer (1)"}


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ([GOOD], audit.CLEAN, "No known vulnerability in 1 packages"),
        ([GOOD, BAD], audit.VULNERABLE, "rich 2: PYSEC-1, corrected in 3"),
        ([UNKNOWN], audit.NOT_REACHABLE, "not reachable for 1 of 1 packages"),
        ([GOOD, UNKNOWN], audit.NOT_REACHABLE, "not reachable for 1 of 2 packages"),
        ([BAD, UNKNOWN], audit.VULNERABLE, "not reachable for 1 of 2 packages"),
        (None, audit.NOT_REACHABLE, "is not reachable, so nothing was checked: ConnectionError: no route"),
    ],
)
def test_only_an_audit_of_all_packages_is_clean(found: Any, code: int, said: str) -> None:
    output = "" if found is None else json.dumps({"dependencies": found, "fixes": []})
    judged, text = audit.judged(output, "Traceback ...\nConnectionError: no route\n")
    assert judged == code and said in text
