"""Read from which site a request comes, and which host it asks for.

A proxy may replace `Host`. So browsers reach the gateway at `HOLDGATE_PUBLIC_URL`, and `Origin` is compared with that
address. `Host` counts only if the public address is one of this machine. Then no proxy is needed, and a browser may use
a forwarded port.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from core.settings import is_loopback, origin_of

FORWARDING = ("forwarded", "via", "x-real-ip", "x-original-host", "x-client-ip", "cf-connecting-ip", "true-client-ip")
"""Headers that proxies set. Headers that begin with `x-forwarded` count, too."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


def host_name(header: str | None) -> str:
    """Return the name in a `Host` header without its port; empty if there is none."""
    found = _HOST.fullmatch(header or "")
    return found[1].lower() if found else ""


def asks_this_machine(headers: Mapping[str, str]) -> bool:
    """Return True if the request names a host that is always this machine. A page of another site cannot do that."""
    return is_loopback(host_name(headers.get("host")))


def forwarded(headers: Mapping[str, str]) -> bool:
    """Return True if a proxy forwarded the request."""
    return any(name in FORWARDING or name.startswith("x-forwarded") for name in headers)


def is_foreign(headers: Mapping[str, str], public_url: str) -> bool:
    """Return True if the browser says that a page of another site sent this. Other clients send no such header."""
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
