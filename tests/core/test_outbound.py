"""Requests to addresses from outside reach nothing that only this machine or this network can reach."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core import outbound
from core.outbound import OutboundGuard, OutboundRefused, guarded_client
from core.outbound_guard import NotAllowed, is_public
from core.settings import is_loopback

PUBLIC = "93.184.216.34"
OPEN = OutboundGuard()
LOOPBACK = OutboundGuard.parse("127.0.0.0/8, ::1")

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Sink:
    """A server on loopback that counts its connections, and the addresses to which anything wanted to connect."""

    def __init__(self) -> None:
        self.connections = 0
        self.dialled: list[str] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await answering(b"reached")(reader, writer)


def answering(body: bytes, head: bytes = b"200 OK", *fields: bytes) -> Server:
    """Return a server that answers every request with this body."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        lines = [b"HTTP/1.1 " + head, b"Content-Length: %d" % len(body), *fields, b"", body]
        writer.write(b"\r\n".join(lines))
        await writer.drain()
        writer.close()

    return answer


@asynccontextmanager
async def served(answer: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a port of 127.0.0.1, and of ::1 if this machine has it."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    servers = [server]
    with suppress(OSError):
        servers.append(await asyncio.start_server(answer, "::1", port, ssl=tls))
    try:
        yield port
    finally:
        for each in servers:
            each.close()


@pytest.fixture
async def sink(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sink]:
    """Return a sink. Connections to other machines are noted and fail, so no test depends on a network."""
    found, connect = Sink(), anyio.connect_tcp

    async def noted(remote_host: str, remote_port: int, **more: Any) -> Any:
        found.dialled.append(remote_host)
        if not is_loopback(remote_host):
            raise OSError("no network in tests")
        return await connect(remote_host, remote_port, **more)

    monkeypatch.setattr(anyio, "connect_tcp", noted)
    async with served(found.answer) as found.port:
        yield found


def names(**addresses: str) -> outbound.Resolver:
    """Return a resolver that knows these names, with `_` for a dot, and leaves literals to the system."""

    async def resolve(host: str, port: int) -> list[str]:
        known = addresses.get(host.replace(".", "_"))
        return known.split() if known else await outbound.resolved(host, port)

    return resolve


NAMES = names(
    localtest_me="127.0.0.1",
    v6_example_org="::1",
    ten_example_org="10.0.0.7",
    mixed_example_org=f"{PUBLIC} 127.0.0.1",
    mapped_example_org="::ffff:127.0.0.1",
    nat64_example_org="64:ff9b::7f00:1",
    localhost="127.0.0.1 ::1",
    localhost_="127.0.0.1",
    public_example_org=PUBLIC,
    metadata_google_internal="169.254.169.254",
)

TARGETS = (
    "https://127.0.0.1:{port}/",
    "https://127.8.9.10:{port}/",
    "https://localhost:{port}/",
    "https://LOCALHOST.:{port}/",
    "https://[::1]:{port}/",
    "https://[0:0:0:0:0:0:0:1]:{port}/",
    "https://127.1:{port}/",  # short forms
    "https://127.0.1:{port}/",
    "https://2130706433:{port}/",  # decimal
    "https://0177.0.0.1:{port}/",  # octal
    "https://017700000001:{port}/",
    "https://0x7f.0.0.1:{port}/",  # hexadecimal
    "https://0x7f000001:{port}/",
    "https://0x7f.1:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",  # IPv4-mapped
    "https://[::ffff:7f00:1]:{port}/",
    "https://[::127.0.0.1]:{port}/",  # IPv4-compatible
    "https://[64:ff9b::7f00:1]:{port}/",  # NAT64
    "https://[64:ff9b:1::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",  # 6to4
    "https://0.0.0.0:{port}/",
    "https://0:{port}/",
    "https://[::]:{port}/",
    "https://169.254.169.254/latest/meta-data/",  # metadata
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://168.63.129.16/machine",
    "https://192.0.0.192/opc/v2/",
    "https://100.100.100.200/latest/meta-data/",
    "https://[fe80::1]:{port}/",  # link-local
    "https://[fc00::1]:{port}/",  # unique local
    "https://10.0.0.7/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",  # CGNAT
    "https://224.0.0.1/",  # multicast
    "https://[ff02::1]/",
    "https://255.255.255.255/",
    "https://198.18.0.1/",
    "https://localtest.me:{port}/",  # names of private addresses
    "https://v6.example.org:{port}/",
    "https://ten.example.org/",
    "https://mixed.example.org:{port}/",
    "https://mapped.example.org:{port}/",
    "https://nat64.example.org:{port}/",
    "http://public.example.org/",  # no TLS
    "https://public.example.org:22/",  # odd ports
    "https://public.example.org:25/",
    "https://public.example.org:80/",
    "https://user:secret@public.example.org/",  # userinfo
    "https://public.example.org@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@public.example.org/",
    "file:///etc/passwd",  # other schemes
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
)


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("target", TARGETS)
async def test_no_private_target_gets_a_connection(target: str, scheme: str, sink: Sink) -> None:
    url = target.format(port=sink.port).replace("https://", f"{scheme}://")
    async with guarded_client(OPEN, resolve=NAMES) as client:
        with pytest.raises((OutboundRefused, httpx2.InvalidURL, httpx2.ConnectError, httpx2.UnsupportedProtocol)):
            await client.get(url, follow_redirects=True)
    assert (sink.connections, sink.dialled) == (0, [])


async def test_the_targets_would_reach_the_sink_without_the_guard(sink: Sink) -> None:
    """Else the table above would prove nothing."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        for host in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost"):
            assert (await client.get(f"http://{host}:{sink.port}/")).text == "reached"
    assert sink.connections == 5


async def test_a_name_that_changes_its_address_is_connected_to_the_checked_one(sink: Sink) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])

    async def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    async with guarded_client(OPEN, resolve=rebinding) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"https://rebind.example.org:{sink.port}/")
        with pytest.raises(OutboundRefused, match="not public"):
            await client.get(f"https://rebind.example.org:{sink.port}/")
    assert (sink.connections, sink.dialled) == (0, [PUBLIC])


@pytest.mark.parametrize("follow", [False, True])
async def test_a_redirect_never_leads_to_a_private_address(follow: bool, sink: Sink) -> None:
    leads = answering(b"", b"302 Found", b"Location: http://127.0.0.1:%d/" % sink.port)
    async with served(leads) as port, guarded_client(OPEN, trusted_origin=f"http://127.0.0.1:{port}/realm") as client:
        if follow:  # even if a caller asks for it
            with pytest.raises(OutboundRefused, match="not public"):
                await client.get(f"http://127.0.0.1:{port}/", follow_redirects=True)
        else:
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 302
    assert sink.connections == 0


async def test_proxies_of_the_environment_are_ignored(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{sink.port}")
    async with served(answering(b"direct")) as port:
        here = f"http://127.0.0.1:{port}"
        client = guarded_client(OPEN, resolve=NAMES, trusted_origin=here)
        assert (await client.get(here)).text == "direct"
        with pytest.raises(httpx2.ConnectError):
            await client.get("https://public.example.org/")
        await client.aclose()
    assert sink.connections == 0


@pytest.mark.parametrize(
    "allow", ["127.0.0.0/8", "127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", "private.example.org", "PRIVATE.example.org."]
)
async def test_an_allowed_host_or_network_can_be_reached(allow: str, sink: Sink) -> None:
    resolve = names(private_example_org="127.0.0.1")
    async with guarded_client(OutboundGuard.parse(allow), resolve=resolve) as client:
        answer = await client.get(f"http://private.example.org:{sink.port}/")
        assert (answer.status_code, answer.text) == (200, "reached")
        with pytest.raises(OutboundRefused):
            await client.get("https://169.254.169.254/")


async def test_the_trusted_origin_is_reached_and_its_neighbours_are_not(sink: Sink) -> None:
    async with served(answering(b"{}")) as port:
        client = guarded_client(OPEN, resolve=NAMES, trusted_origin=f"http://localhost:{port}/realms/x")
        assert (await client.get(f"http://localhost:{port}/.well-known/openid-configuration")).json() == {}
        for other in (f"http://127.0.0.1:{port}/", f"http://localhost:{sink.port}/", f"https://localhost:{port}/"):
            with pytest.raises(OutboundRefused):
                await client.get(other)
        with pytest.raises(OutboundRefused, match="name or a password"):
            await client.get(f"http://user:secret@localhost:{port}/")
        await client.aclose()


@pytest.mark.parametrize("body, fields", [(b"x" * 65_537, ()), (b"x" * 10, (b"Content-Encoding: gzip",))])
async def test_a_huge_or_compressed_answer_is_refused(body: bytes, fields: tuple[bytes, ...]) -> None:
    async with served(answering(body, b"200 OK", *fields)) as port, guarded_client(LOOPBACK) as client:
        with pytest.raises(OutboundRefused, match=r"more than 65536 bytes|compressed"):
            await client.get(f"http://127.0.0.1:{port}/")


async def test_the_largest_answer_arrives_whole() -> None:
    async with served(answering(b"x" * 65_536)) as port, guarded_client(LOOPBACK) as client:
        assert len((await client.post(f"http://127.0.0.1:{port}/", json={})).content) == 65_536


async def test_a_slow_answer_ends_by_one_deadline_for_all_of_it() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():  # each byte arrives well within the limit of one read
            writer.write(b"x")
            await asyncio.sleep(0.05)

    began = asyncio.get_running_loop().time()
    async with served(drip) as port, guarded_client(LOOPBACK, timeout=0.4) as client:
        with pytest.raises(httpx2.TimeoutException, match=r"within 0\.4 seconds"):
            await client.get(f"http://127.0.0.1:{port}/")
    assert asyncio.get_running_loop().time() - began < 3


async def test_a_slow_resolver_counts_too() -> None:
    async def slow(host: str, port: int) -> list[str]:
        await asyncio.sleep(30)
        return [PUBLIC]

    async with guarded_client(OPEN, timeout=0.1, resolve=slow) as client:
        with pytest.raises(httpx2.TimeoutException):
            await client.get("https://slow.example.org/")


async def test_the_next_address_is_tried_if_one_does_not_answer(sink: Sink) -> None:
    guard = OutboundGuard.parse("both.example.org")
    async with guarded_client(guard, resolve=names(both_example_org=f"{PUBLIC} 127.0.0.1")) as client:
        assert (await client.get(f"http://both.example.org:{sink.port}/")).text == "reached"
    assert sink.dialled == [PUBLIC, "127.0.0.1"]


@pytest.mark.parametrize("certified, accepted", [("idp.example.org", True), ("127.0.0.1", False)])
async def test_tls_verifies_the_name_and_not_the_address(certified: str, accepted: bool, tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    ours, theirs = certificate(certified, tmp_path)
    shown: list[str | None] = []
    theirs.sni_callback = lambda _socket, name, _context: shown.append(name)
    client = guarded_client(LOOPBACK, resolve=names(idp_example_org="127.0.0.1"), verify=ours)
    async with served(answer, theirs) as port, client:
        if accepted:
            assert (await client.get(f"https://idp.example.org:{port}/")).status_code == 200
            assert b"host: idp.example.org:%d\r\n" % port in asked[0].lower()
        else:
            with pytest.raises(httpx2.ConnectError, match=r"[Hh]ostname mismatch"):
                await client.get(f"https://idp.example.org:{port}/")
            assert asked == []
    assert shown == ["idp.example.org"]


def certificate(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of a client and a server that know one certificate for a name or an address."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    try:
        san: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        san = x509.DNSName(name)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = (
        builder.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([san]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem")
    return ssl.create_default_context(cadata=pem.decode()), server


@pytest.mark.parametrize(
    "text", ["10.0.0.0/33", "10.0.0.1/8", "0x7f.1", "127.1", "a b", "https://idp.example.org", "*"]
)
def test_a_wrong_part_of_the_setting_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is neither a host name") as error:
        OutboundGuard.parse(f"idp.example.org, {text}")
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("address", ["1.1.1.1", PUBLIC, "2606:4700::1111", "2001:4860:4860::8888"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_a_host_without_an_address_is_refused() -> None:
    with pytest.raises(NotAllowed, match="has no address"):
        OPEN.check("https", "nowhere.example.org", 443, [])


@pytest.mark.parametrize("text", [None, "", " , "])
def test_without_the_setting_only_public_addresses_are_allowed(text: str | None) -> None:
    assert OutboundGuard.parse(text) == OPEN
