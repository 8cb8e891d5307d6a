"""A very small shop: a list of goods, each with a page. WSGI and the standard library, nothing else."""

import html
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from string import Template
from typing import Any

HERE = Path(__file__).resolve().parent
RELEASE = HERE.name
"""The id of the release: the folder that it was unpacked into."""

Answer = Callable[[str, list[tuple[str, str]]], Any]


def goods() -> dict[str, dict[str, Any]]:
    """What is sold, by its name. Raises ValueError for a price that is none."""
    found: dict[str, dict[str, Any]] = json.loads((HERE / "goods.json").read_text(encoding="utf-8"))
    for name, each in found.items():
        if not isinstance(each["pence"], int) or each["pence"] <= 0:
            raise ValueError(f"{name} has no price")
    return found


def price(pence: int) -> str:
    """`GBP 12.50`."""
    return f"GBP {pence // 100}.{pence % 100:02}"


def page(template: str, **values: str) -> str:
    """A page from its template; values are escaped but for `rows`, which are pages themselves."""
    text = (HERE / "templates" / template).read_text(encoding="utf-8")
    return Template(text).substitute(
        {name: each if name == "rows" else html.escape(each) for name, each in values.items()}
    )


def home() -> str:
    rows = [
        page("row.html", name=name, title=each["title"], price=price(each["pence"])) for name, each in goods().items()
    ]
    return page("home.html", rows="".join(rows))


def application(environ: dict[str, Any], start_response: Answer) -> Iterable[bytes]:
    """The shop as a WSGI application."""
    path, status, kind = environ.get("PATH_INFO", "/"), "200 OK", "text/html; charset=utf-8"
    if path == "/":
        text = home()
    elif path == "/health":
        # Being well means that every page can be shown.
        for each in goods().values():
            page("item.html", title=each["title"], price=price(each["pence"]))
        version = (HERE / "VERSION").read_text(encoding="utf-8").strip()
        text, kind = json.dumps({"status": "well", "release": RELEASE, "version": version}), "application/json"
    elif (item := goods().get(path.removeprefix("/goods/"))) is not None:
        text = page("item.html", title=item["title"], price=price(item["pence"]))
    else:
        text, status = page("missing.html"), "404 Not Found"
    start_response(status, [("Content-Type", kind)])
    return [text.encode()]
