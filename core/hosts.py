"""Compare hosts and origins of URLs as browsers do."""

import ipaddress
import re
import socket
from contextlib import suppress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return True if a host, as a setting or a browser writes it, always means this machine.

    Such a host is an IP address of this machine's loopback, or `localhost`. Any other name does not count: its owner
    can later let the name mean another machine.
    """
    host = host.strip("[]").lower()
    if host.removesuffix(".") == "localhost":
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    if re.fullmatch(r"[0-9a-fx]+(\.[0-9a-fx]+){0,3}", host):  # `127.1`, as the system and browsers read an address
        with suppress(OSError):
            return ipaddress.IPv4Address(socket.inet_aton(host)).is_loopback
    return False


def is_ip_address(host: str) -> bool:
    """Return True if a host, as `urlsplit` returns it, is an IP address and not a name."""
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a URL, in the form in which browsers compare them; None for an invalid URL."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme, host.lower(), port) if host else None
