"""One running product for the tests that leave it running."""

from collections.abc import Iterator

import pytest

from tests.product import Product


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as product:
        yield product
