"""Send HTTP requests to addresses that came from outside, without reaching what only this network can reach (SSRF).

A guarded client resolves the name of a host once, checks all its addresses with `core/outbound_guard.py`, and connects
to a checked address. So a name server cannot answer with a public address for the check and with a private one for the
connection (DNS rebinding). The header `Host` and the name that TLS verifies stay those of the URL.

This module imports httpx2, which takes a tenth of a second. Import the module where it is used.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ssl import SSLContext

import httpx2

from core.outbound_guard import NotAllowed, OutboundGuard as OutboundGuard
from core.settings import origin_of

TIMEOUT_S = 5.0
"""The most seconds from the start of a request until its answer is complete."""
MAX_BYTES = 64 * 1024
"""The most bytes in the body of an answer."""

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Returns the IP addresses of a host. Raises OSError."""


class OutboundRefused(httpx2.TransportError):
    """Raised if the target may not be reached, or if its answer is too large. The text names host and reason."""


async def resolved(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host as the system resolves its name. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def guarded_client(
    guard: OutboundGuard,
    *,
    trusted_origin: str | None = None,
    timeout: float = TIMEOUT_S,
    max_bytes: int = MAX_BYTES,
    resolve: Resolver = resolved,
    verify: SSLContext | bool = True,
) -> httpx2.AsyncClient:
    """Return a client that connects only to targets that the guard allows. The caller closes the client.

    `trusted_origin` is a URL that an administrator wrote: the guard does not check addresses of its scheme, host and
    port. The client ignores proxies of the environment, and does not follow redirects: the caller gets the 3xx answer.
    A whole request takes at most `timeout` seconds, and its answer has at most `max_bytes` bytes.

    Each request can raise OutboundRefused, another httpx2.TransportError, or httpx2.InvalidURL.
    """
    transport = GuardedTransport(guard, trusted_origin, timeout, max_bytes, resolve, verify)
    # Compressed answers are not asked for and are refused: a small one could have any size after decompression.
    headers = {"Accept-Encoding": "identity", "User-Agent": "holdgate"}
    return httpx2.AsyncClient(
        transport=transport, timeout=timeout, headers=headers, follow_redirects=False, trust_env=False
    )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """A transport that sends each request to a checked address and reads a bounded answer. See `guarded_client`."""

    def __init__(
        self,
        guard: OutboundGuard,
        trusted_origin: str | None,
        timeout: float,
        max_bytes: int,
        resolve: Resolver,
        verify: SSLContext | bool,
    ) -> None:
        self._guard, self._timeout, self._max_bytes, self._resolve = guard, timeout, max_bytes, resolve
        self._trusted = origin_of(trusted_origin) if trusted_origin else None
        # No connection is used twice: TLS verified its name, and the next request can name another host of the address.
        # The environment can name certificates (SSL_CERT_FILE). Only clients without a transport read its proxies.
        self._inner = httpx2.AsyncHTTPTransport(verify=verify, limits=httpx2.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Check the target, send the request, and return the complete answer. Raises httpx2.TransportError."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(request)
        except TimeoutError:
            raise httpx2.ReadTimeout(
                f"{request.url.host} did not answer completely within {self._timeout:g} seconds"
            ) from None
        except NotAllowed as refused:
            raise OutboundRefused(str(refused)) from None

    async def aclose(self) -> None:
        """Close the open connections."""
        await self._inner.aclose()

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.userinfo:
            raise NotAllowed(f"{url.host}: the URL must not contain a name or a password")
        if url.scheme not in ("http", "https") or not url.host:
            raise NotAllowed(f"the URL must begin with https:// and a host, and begins with {url.scheme}:")
        if self._trusted is not None and origin_of(str(url)) == self._trusted:
            return await self._bounded(request)
        for address in (addresses := await self._checked_addresses(url)):
            try:
                return await self._bounded(_pinned(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise AssertionError("the guard refuses a host without an address")

    async def _checked_addresses(self, url: httpx2.URL) -> list[str]:
        host, port = url.raw_host.decode(), url.port or {"http": 80, "https": 443}[url.scheme]
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(f"{host} cannot be resolved: {error}") from error
        self._guard.check(url.scheme, host, port, addresses)
        return addresses

    async def _bounded(self, request: httpx2.Request) -> httpx2.Response:
        answer, body = await self._inner.handle_async_request(request), bytearray()
        try:
            if answer.headers.get("content-encoding", "identity").lower() != "identity":
                raise OutboundRefused(f"{request.headers['host']} sent a compressed answer, which was not asked for")
            async for part in answer.aiter_raw():
                body += part
                if len(body) > self._max_bytes:
                    raise OutboundRefused(
                        f"{request.headers['host']} sent an answer of more than {self._max_bytes} bytes"
                    )
        finally:
            await answer.aclose()
        return httpx2.Response(answer.status_code, headers=answer.headers, content=bytes(body))


def _pinned(request: httpx2.Request, address: str) -> httpx2.Request:
    """Return the request for a connection to this address. Its header `Host`, and the name for TLS, stay the same."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode()},
    )
