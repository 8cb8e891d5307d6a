"""Decide to which addresses Holdgate may connect if the address came from outside, such as from a provider's metadata.

Without this check, a person who can choose a URL could use Holdgate to reach programs that only this machine or this
network can reach (server-side request forgery, SSRF).

`ipaddress.is_global` alone is not enough: it is True for multicast, for addresses that embed an IPv4 address (NAT64,
6to4), and for addresses that cloud providers give to services of a machine.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

SETTING = "HOLDGATE_OUTBOUND_ALLOW"
"""The setting with the hosts and networks that are allowed although they are not public."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # special purposes, also the metadata of Oracle Cloud
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # services of Azure for its machines
            "224.0.0.0/4",  # multicast
            "2001::/23",  # special purposes, also Teredo, which embeds an IPv4 address
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which embeds an IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
"""The only IPv6 addresses that are assigned as public ones. The IPv4-mapped addresses and NAT64 are outside."""

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_TLS_PORT, _FIRST_FREE_PORT = 443, 1024


class NotAllowed(ValueError):
    """Raised if Holdgate may not connect to a target. The text names the host and the reason."""


@dataclass(frozen=True)
class OutboundGuard:
    """The rule for targets that came from outside: public addresses by https, and what an administrator allows."""

    hosts: frozenset[str] = frozenset()
    """Host names whose addresses may be any, because an administrator trusts the names."""
    networks: tuple[Network, ...] = ()
    """Networks that are allowed although they may not be public."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Return the guard for a value of `HOLDGATE_OUTBOUND_ALLOW`: hosts and networks, separated by commas.

        Raises ValueError, whose text names the part that is wrong.
        """
        hosts, networks = set(), []
        for part in filter(None, (each.strip() for each in (text or "").split(","))):
            try:
                networks.append(ipaddress.ip_network(part))
            except ValueError:
                if not _is_host(name := _normal(part)):
                    raise ValueError(
                        f"{part!r} is neither a host name, such as idp.example.org, nor a network, such as 10.20.0.0/16"
                    ) from None
                hosts.add(name)
        return cls(frozenset(hosts), tuple(networks))

    def check(self, scheme: str, host: str, port: int, addresses: Sequence[str]) -> None:
        """Raise NotAllowed unless Holdgate may connect to each of these addresses, to which the host resolved.

        An address that is not allowed refuses the host, because the owner of the name chooses the order of addresses.
        """
        found = [ipaddress.ip_address(each) for each in addresses]
        if not found:
            raise NotAllowed(f"{host} has no address")
        if _normal(host) in self.hosts or all(map(self._listed, found)):
            return
        for address in found:
            if not (is_public(address) or self._listed(address)):
                raise NotAllowed(
                    f"{host} has the address {address}, which is not public. If Holdgate may connect to this address, "
                    f"add the host or its network to {SETTING}"
                )
        if scheme != "https":
            raise NotAllowed(f"{host} must be reached by https. Only hosts in {SETTING} may use http")
        if port != _TLS_PORT and port < _FIRST_FREE_PORT:
            raise NotAllowed(
                f"{host}: the port must be {_TLS_PORT}, or {_FIRST_FREE_PORT} or higher, and is {port}. Only hosts in "
                f"{SETTING} may use other ports"
            )

    def _listed(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def is_public(address: Address) -> bool:
    """Return True if the address is a public unicast address, which means the same machine from everywhere."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST_V6:
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def _normal(host: str) -> str:
    return host.lower().removesuffix(".")


def _is_host(name: str) -> bool:
    """Return True for a host name. Names that end in a number are forms of addresses, such as `0x7f.1`."""
    last = name.rpartition(".")[2]
    return bool(_HOST.fullmatch(name)) and not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last)
