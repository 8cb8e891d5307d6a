"""The two addresses of this machine to which `localhost` leads."""

import socket

IPV4, IPV6 = "127.0.0.1", "::1"


def addresses(host: str) -> list[str]:
    """Return the addresses on which a server of this host listens: for 127.0.0.1 also ::1, if this machine has it.

    Browsers that open `localhost` try ::1 first. Another program that listens there would get the requests, and with
    them passwords and the secret link of the demo.
    """
    return [IPV4, IPV6] if host == IPV4 and _has_ipv6() else [host]


def bound(port: int) -> list[socket.socket]:
    """Return sockets that are bound to both addresses and do not listen yet. Raises OSError."""
    found: list[socket.socket] = []
    try:
        for family, address in ((socket.AF_INET, IPV4), (socket.AF_INET6, IPV6)):
            found.append(each := socket.socket(family))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are closing do not count
            each.bind((address, port))
    except OSError:
        for each in found:
            each.close()
        raise
    return found


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((IPV6, 0))
    except OSError:
        return False
    return True
