"""One running product for the tests that leave the product unchanged, or running again.

The tests of the command line come first, see `EMPTY` in tests/conftest.py: they look at all that waits.
"""

from collections.abc import Iterator

import pytest

from tests.support.installed_app import Product


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Start a product so slow with rows that a file of few rows can be paused."""
    with Product(tmp_path_factory.mktemp("product"), HOLDGATE_BATCH_RATE="10") as product:
        yield product
