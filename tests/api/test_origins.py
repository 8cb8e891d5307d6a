"""Which origins of forms are accepted, by the headers of browsers and proxies: pure rules in tables."""

import pytest

from api.http.origins import asks_this_machine, forwarded, host_name, is_foreign

PUBLIC = "https://holdgate.example.org"
LOCAL = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    "host",
    [
        "holdgate.example.org",  # proxy_set_header Host $host; Caddy, Traefik, HAProxy by default
        "127.0.0.1:8000",  # nginx with a bare proxy_pass http://127.0.0.1:8000
        "gateway",  # nginx with a bare proxy_pass to an upstream of this name
        "gateway:8000",
        "holdgate.example.org:443",
        None,  # HTTP/1.0 without one
    ],
)
@pytest.mark.parametrize("site", [None, "same-origin", "none"])
@pytest.mark.parametrize("origin", ["https://holdgate.example.org", "https://HOLDGATE.example.org:443", None])
def test_a_form_of_the_public_address_is_ours_whatever_host_a_proxy_sends(
    host: str | None, site: str | None, origin: str | None
) -> None:
    headers = {"host": host, "sec-fetch-site": site, "origin": origin}
    assert not is_foreign({name: value for name, value in headers.items() if value}, PUBLIC)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://[",
        "http://[::1",
        "https://",
        "https://holdgate.example.org:99999",
        "https://holdgate.example.org:x",
        "https://evil.example",
        "http://holdgate.example.org",
        "https://holdgate.example.org.evil.example",
        "https://holdgate.example.org@evil.example",
        "https://holdgate.example.org:8443",
        "https://127.0.0.1:8000",
        "http://127.0.0.1:8000",
        "http://gateway:8000",
        "file://",
        "javascript:alert(1)",
        "https://holdgate.example.org, https://evil.example",
        "https://\udc80",
        "\x00",
        "https://" + "a" * 300 + ".\u00fc",
    ],
)
@pytest.mark.parametrize("echoed", [True, False])
def test_a_form_of_any_other_origin_is_foreign_also_when_a_proxy_makes_host_fit(origin: str, echoed: bool) -> None:
    host = origin.partition("//")[2] if echoed else "127.0.0.1:8000"
    assert is_foreign({"origin": origin, "host": host}, PUBLIC)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "same-origin, none"])
def test_what_a_browser_says_of_the_site_counts_beside_the_origin(site: str) -> None:
    assert is_foreign({"origin": PUBLIC, "sec-fetch-site": site, "host": "holdgate.example.org"}, PUBLIC)


@pytest.mark.parametrize(
    ("origin", "host", "ours"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://127.0.0.1:8000", "gateway", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://localhost:9000", "localhost:9000", True),  # a forwarded port
        ("http://localhost:9000", "localhost:8000", False),
        ("http://localhost:9000", None, False),
        ("http://evil.example:8000", "evil.example:8000", False),  # a name pointed at this machine
        ("http://evil.example:8000", "127.0.0.1:8000", False),
        ("https://holdgate.example.org", "127.0.0.1:8000", False),  # HOLDGATE_PUBLIC_URL was not set
        ("http://10.0.0.5:8000", "10.0.0.5:8000", False),
    ],
)
def test_of_a_local_gateway_a_form_comes_from_this_machine_under_the_host_it_asks(
    origin: str, host: str | None, ours: bool
) -> None:
    headers = {"origin": origin} | ({"host": host} if host else {})
    assert is_foreign(headers, LOCAL) is not ours


def test_a_public_address_with_letters_of_any_language_is_compared_as_browsers_send_it() -> None:
    assert not is_foreign({"origin": "https://xn--bcher-kva.example"}, "https://Bücher.example/holdgate")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1:8000", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("[::1]:8000", "[::1]"),
        ("[", ""),
        ("", ""),
        (None, ""),
        ("localhost:8000@evil.example", ""),
        ("evil.example/localhost", ""),
        ("localhost evil.example", ""),
        ("localhost\n", ""),
    ],
)
def test_the_name_of_a_host_header(host: str | None, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.5", "["])
def test_only_names_of_this_machine_are_it(host: str) -> None:
    assert not asks_this_machine({"host": host})
    assert not asks_this_machine({})
    assert asks_this_machine({"host": "localhost:8000"})


@pytest.mark.parametrize(
    "header", ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-anything", "x-real-ip"]
)
def test_what_proxies_say_is_noticed(header: str) -> None:
    assert forwarded({header: ""})
    assert not forwarded({"host": "localhost"})
