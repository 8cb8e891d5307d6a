"""Find out from which web site a request comes, and for which host it asks.

A proxy may replace the header `Host`. So the header `Origin`, the site of the page that sends the request, is compared
with `HOLDGATE_PUBLIC_URL`. Only if `HOLDGATE_PUBLIC_URL` is an address of this machine, `Origin` may also match `Host`:
such a gateway needs no proxy, and a browser may use a forwarded port.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from core.settings import is_loopback, origin_of

FORWARDING = ("forwarded", "via", "x-real-ip", "x-original-host", "x-client-ip", "cf-connecting-ip", "true-client-ip")
"""Headers that show that a proxy forwarded a request.

Headers that begin with `x-forwarded` also show that a proxy forwarded a request.
"""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


def host_name(header: str | None) -> str:
    """Return the host name in a `Host` header without the port; empty if the header is missing or not valid."""
    found = _HOST.fullmatch(header or "")
    return found[1].lower() if found else ""


def asks_this_machine(headers: Mapping[str, str]) -> bool:
    """Return True if the `Host` header names a host that is always this machine.

    A page of a site whose name its owner lets mean this machine (DNS rebinding) sends that name: the result is False.
    """
    return is_loopback(host_name(headers.get("host")))


def forwarded(headers: Mapping[str, str]) -> bool:
    """Return True if the headers show that a proxy forwarded the request."""
    return any(name in FORWARDING or name.startswith("x-forwarded") for name in headers)


def is_foreign(headers: Mapping[str, str], public_url: str) -> bool:
    """Return True if the headers of the browser say that a page of another site sent the request.

    Programs other than browsers send no such headers, so the result for them is False.
    """
    if headers.get("sec-fetch-site") not in {None, "same-origin", "none"}:
        return True
    said = headers.get("origin")
    if said is None:
        return False
    origin, ours = origin_of(said), origin_of(public_url)
    if origin is None or ours is None:
        return True
    if origin == ours:
        return False
    local = is_loopback(ours[1]) and is_loopback(origin[1])
    return not (local and urlsplit(said).netloc == headers.get("host"))
