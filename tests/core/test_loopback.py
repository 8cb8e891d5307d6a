"""A server of 127.0.0.1 takes ::1 as well, so that no other program answers for localhost."""

import socket

import pytest

from core import loopback
from tests.support.installed_app import free_port


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "127.0.0.2", "localhost", "holdgate.example.org"])
def test_another_host_means_only_itself(host: str) -> None:
    assert loopback.addresses(host) == [host]


def test_both_addresses_of_localhost_are_taken_or_none() -> None:
    if loopback.addresses("127.0.0.1") == ["127.0.0.1"]:
        pytest.skip("this machine has no ::1")
    port = free_port()
    sockets = loopback.bound(port)
    assert [each.getsockname()[:2] for each in sockets] == [("127.0.0.1", port), ("::1", port)]
    for each in sockets:
        each.listen()
    for address in ("127.0.0.1", "::1"):
        with socket.create_connection((address, port), timeout=5):
            pass
    for each in sockets:
        each.close()
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", port))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            loopback.bound(port)
        with socket.socket() as free:
            free.bind(("127.0.0.1", port))  # it was given back


def test_a_machine_without_ipv6_has_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "IPV6", "2001:db8::1")  # nobody has this address
    assert loopback.addresses("127.0.0.1") == ["127.0.0.1"]
