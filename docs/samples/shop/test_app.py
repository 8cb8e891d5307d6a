"""What a release of the shop must pass before people decide on it: `python -m unittest`."""

import json
import unittest
from wsgiref.util import setup_testing_defaults

from app import application, goods, price


def get(path: str) -> tuple[str, str]:
    """Status and text of a page."""
    environ: dict[str, object] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    seen: list[str] = []
    body = b"".join(application(environ, lambda status, _: seen.append(status)))
    return seen[0], body.decode()


class Shop(unittest.TestCase):
    def test_every_good_is_on_the_first_page_and_has_its_own(self) -> None:
        _, home = get("/")
        for name, each in goods().items():
            self.assertIn(f'href="/goods/{name}"', home)
            status, text = get(f"/goods/{name}")
            self.assertEqual(status, "200 OK")
            self.assertIn(each["title"], text)
            self.assertIn(price(each["pence"]), text)

    def test_what_is_not_sold_is_missing(self) -> None:
        self.assertEqual(get("/goods/moon")[0], "404 Not Found")

    def test_a_price_has_two_decimals(self) -> None:
        self.assertEqual(price(1205), "GBP 12.05")

    def test_the_shop_is_well_and_says_which_release_it_is(self) -> None:
        status, text = get("/health")
        self.assertEqual((status, json.loads(text)["status"]), ("200 OK", "well"))


if __name__ == "__main__":
    unittest.main()
