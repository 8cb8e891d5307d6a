"""Where a request says that it comes from and whom it asks for, by headers that only a browser can be trusted with.

A proxy may replace `Host`, so what people's browsers see is `HOLDGATE_PUBLIC_URL`, and `Origin` is compared with that.
`Host` counts only where the public address is one of this machine: then there need be no proxy, and the port that a
browser uses may be a forwarded one.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from core.settings import is_loopback, origin_of

FORWARDING = ("forwarded", "via", "x-real-ip", "x-original-host", "x-client-ip", "cf-connecting-ip", "true-client-ip")
"""Headers of proxies; so is whatever begins with `x-forwarded`."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


def host_name(header: str | None) -> str:
    """The name in a `Host` header, without its port; empty for what is none."""
    found = _HOST.fullmatch(header or "")
    return found[1].lower() if found else ""


def asks_this_machine(headers: Mapping[str, str]) -> bool:
    """Whether the request names a host that only this machine can be, as a page of a site pointed at us cannot."""
    return is_loopback(host_name(headers.get("host")))


def forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy says that it passed the request on."""
    return any(name in FORWARDING or name.startswith("x-forwarded") for name in headers)


def is_foreign(headers: Mapping[str, str], public_url: str) -> bool:
    """Whether the browser says that a page of another site sent this. What is no browser says nothing."""
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
