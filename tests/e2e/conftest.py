"""One running product, with a plugin, for the tests that leave the product unchanged, or running again.

The tests of the command line come first, see `EMPTY` in tests/conftest.py: they look at all that waits.
"""

from collections.abc import Iterator

import pytest

from plugins.scaffold import make
from tests.support.in_process_command_line import Run, runner
from tests.support.installed_app import Product


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Start a product so slow with rows that a file of few rows can be paused.

    Its plugin `expense_claim` is the one of the template, with a defect for the purpose `A defect`.
    """
    folder = tmp_path_factory.mktemp("product")
    make("expense_claim", folder / "mine")
    process = folder / "mine" / "expense_claim" / "process.py"
    code = process.read_text()
    gate = '        await self.gate("approval")\n'
    assert gate in code
    defect = '        if request.purpose == "A defect":\n            raise KeyError(request.purpose)\n'
    process.write_text(code.replace(gate, defect + gate))
    with Product(folder, HOLDGATE_BATCH_RATE="10", HOLDGATE_PROCESSES=str(folder / "mine")) as product:
        yield product


@pytest.fixture
def run(product: Product, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Carries out a command line as in a second terminal beside `make up`."""
    for name in ("HOLDGATE_URL", "HOLDGATE_TOKEN", "HOLDGATE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOLDGATE_VAR", "HOLDGATE_PORT"):
        monkeypatch.setenv(name, product.environment[name])
    return runner(capsys)
