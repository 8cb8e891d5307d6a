"""`plugins`, the one package that a process author imports: complete, documented, and cheap for the sandbox."""

import ast
import subprocess
import sys
from pathlib import Path

import plugins
from plugins.scaffold import TEMPLATE
from tests.support.installed_app import ROOT

GUIDE = ROOT / "docs" / "extend" / "adding-a-process.md"


def run(code: str) -> str:
    """Run code in a new interpreter and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_every_public_name_is_there_once_and_in_the_guide() -> None:
    assert plugins.__all__ == sorted(set(plugins.__all__))
    assert all(hasattr(plugins, name) for name in plugins.__all__)
    guide = GUIDE.read_text()
    assert [name for name in plugins.__all__ if f"`{name}" not in guide] == []


def test_the_template_and_the_guide_import_nothing_else_of_holdgate() -> None:
    ours = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert {"workflows", "plugins"} <= ours
    for file in TEMPLATE.glob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text()))
        modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
        assert {module for module in modules if module.split(".")[0] in ours} <= {"plugins", "plugins.testing"}, file
    assert "from workflows" not in GUIDE.read_text()


def test_the_package_does_not_load_the_loader_the_check_and_the_tests() -> None:
    loaded = run("import sys, plugins; print(sorted(name for name in sys.modules if name.startswith('plugins')))")
    assert ast.literal_eval(loaded) == ["plugins"]


def test_the_sandbox_takes_every_name_from_the_worker() -> None:
    """Outside `imports_passed_through()` the engine would be loaded again for each case, which takes much longer."""
    (with_block,) = [node for node in ast.parse(Path(plugins.__file__).read_text()).body if isinstance(node, ast.With)]
    assert ast.unparse(with_block.items[0]) == "workflow.unsafe.imports_passed_through()"
    imported = {alias.name for node in with_block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(plugins.__all__)
