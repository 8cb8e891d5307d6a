"""One running product for the tests that leave it as they found it, or running again."""

from collections.abc import Iterator

import pytest

from tests.support.installed_app import Product


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product"), HOLDGATE_BATCH_RATE="10") as product:
        yield product
