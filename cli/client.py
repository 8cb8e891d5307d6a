"""Call the gateway for the command line: find its address and the user's token, send requests, show errors as text."""

import ipaddress
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import httpx2

from core.settings import Settings

URL = "HOLDGATE_URL"
"""The environment variable with the address of the gateway. Default: the gateway that `make up` started."""
TOKEN = "HOLDGATE_TOKEN"
"""The environment variable with the user's token. Default: the token of a demo person."""
TIMEOUT = 30.0
"""Seconds to wait for the answer to a request.

The answer to an upload of 10 MiB comes after the check of all its rows.
"""

PATIENCE = 600.0
"""Seconds to wait until a download begins.

Before the gateway sends the evidence pack of a period, it checks the whole audit log.
"""


class Denied(Exception):
    """Raised if the gateway refused a request.

    The text says why; `problem` is the complete problem document of the answer.
    """

    def __init__(self, said: str, problem: Mapping[str, Any]) -> None:
        super().__init__(said)
        self.problem = problem


class Unusable(Exception):
    """Raised if the gateway or a setting cannot be used; the command ends with exit code 2.

    The text says what to change.
    """


class Away(Unusable):
    """Raised if the gateway does not answer, or answers with a server error. The same request may succeed later."""


class Remote:
    """Sends requests to the gateway with the token of one person."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON answer to a GET request with the query parameters that are not None.

        Raises Denied, Unusable and Away.
        """
        return self._send("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """Return the JSON answer to a POST request with a JSON body.

        Requests with the same `key` take effect only once. Raises Denied, Unusable and Away.
        """
        return self._send("POST", path, json=body, headers={"Idempotency-Key": key} if key else {})

    def delete(self, path: str, body: Mapping[str, Any]) -> None:
        """Send a DELETE request with a JSON body. Raises Denied, Unusable and Away."""
        self._send("DELETE", path, json=body)

    def upload(
        self, path: str, filename: str, content: bytes, form: Mapping[str, str | None] | None = None, **query: Any
    ) -> Any:
        """Return the JSON answer to a POST request with a file.

        The form fields say how the gateway reads the file; those without a value are left out. Raises Denied, Unusable
        and Away.
        """
        return self._send(
            "POST",
            path,
            params=query,
            files={"file": (filename, content, "text/csv")},
            data={name: value for name, value in (form or {}).items() if value},
        )

    def download(self, path: str, into: BinaryIO, media_type: str = "text/csv", /, **query: Any) -> None:
        """Write the answer to a GET request into the open file `into`, part by part as it arrives.

        Raises Denied, Unusable and Away, and OSError if the file cannot be written.
        """
        params = {name: value for name, value in query.items() if value is not None}
        with self._asking("GET", path, params=params, headers={"Accept": media_type}, timeout=PATIENCE) as answer:
            if not answer.headers.get("content-type", "").startswith(media_type):
                raise Unusable(self._no_gateway)
            for chunk in answer.iter_bytes():
                into.write(chunk)

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the name and the JSON data of each server-sent event, until the gateway ends the stream.

        The gateway also sends comments, to keep the connection open: each yields an empty name and None. Raises Denied,
        Unusable and Away.
        """
        with self._asking("GET", path) as answer:
            name = ""
            for line in answer.iter_lines():
                if line.startswith("event:"):
                    name = line.removeprefix("event:").strip()
                elif line.startswith("data:"):
                    yield name, json.loads(line.removeprefix("data:"))
                elif line.startswith(":"):
                    yield "", None

    def post_all(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a POST request for each page of the result, and return the first answer with the items of all pages."""
        answer: dict[str, Any] = self.post(path, body)
        following = answer
        while cursor := following.get("next_cursor"):
            following = self.post(path, {**body, "cursor": cursor})
            answer["items"] += following["items"]
            if "looked_at" in answer:
                answer["looked_at"] += following["looked_at"]
        return answer

    def _send(self, method: str, path: str, **request: Any) -> Any:
        with self._asking(method, path, **request) as answer:
            content = answer.read()
        try:
            return json.loads(content) if content else None
        except ValueError:
            raise Unusable(self._no_gateway) from None

    @contextmanager
    def _asking(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **request: Any
    ) -> Iterator[httpx2.Response]:
        """Send a request and yield its successful answer, whose body is not read yet.

        Raises Denied, Unusable and Away.
        """
        address = f"{self.url}/api/v1/{path}"
        sent = {**self._headers, **(headers or {})}
        try:
            # A proxy for the internet does not reach a gateway on this machine.
            with (
                httpx2.Client(timeout=TIMEOUT, trust_env=not _on_this_machine(self.url), verify=self._tls) as client,
                client.stream(method, address, headers=sent, **request) as answer,
            ):
                if not answer.is_success:
                    answer.read()
                    raise self._refusal(answer)
                yield answer
        except httpx2.HTTPError as wrong:
            raise Away(f"no gateway answers at {self.url} ({_reason(wrong)}); start it with 'make up'") from wrong
        except (httpx2.InvalidURL, ValueError) as wrong:
            raise Unusable(
                f"{self.url} or the token cannot be used: {_reason(wrong)}; check {URL} and {TOKEN}"
            ) from wrong

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Return the certificates to trust. To read them takes longer than most requests, and plain HTTP needs none."""
        if urlsplit(self.url).scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx2.create_ssl_context()

    def _refusal(self, answer: httpx2.Response) -> Denied | Unusable:
        try:
            body = answer.json()
        except ValueError:
            body = None
        said = problem(body)
        if answer.is_server_error:
            return Away(said or f"{self.url} answers {answer.status_code}; check the gateway and the proxies before it")
        if not said:
            return Unusable(self._no_gateway)
        return Unusable(said) if answer.status_code == 401 else Denied(said, body or {})

    @property
    def _no_gateway(self) -> str:
        return f"{self.url} does not answer as a Holdgate gateway; correct {URL}"


def address(settings: Settings, environment: Mapping[str, str]) -> str:
    """Return the address of the gateway.

    The address is `HOLDGATE_URL` in `environment`, else the address of the gateway that `make up` started, else
    `HOLDGATE_PUBLIC_URL`.
    """
    if url := environment.get(URL):
        return url
    try:
        return str(json.loads(settings.up_file.read_text(encoding="utf-8"))["gateway_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return settings.public_url


def token(settings: Settings, environment: Mapping[str, str], person: str | None, default: str | None) -> str:
    """Return the token to send: the demo token of `person`, else HOLDGATE_TOKEN, else the demo token of `default`.

    Raises Unusable if there is no such token; the text of the error names the variable to set.
    """
    if not person and (own := environment.get(TOKEN)):
        return own
    wanted = person or default
    if wanted is None:
        raise Unusable(f"say who you are: --as PERSON (a demo person, for example manager-1), or set {TOKEN}")
    try:
        tokens = json.loads(settings.demo_tokens.read_text(encoding="utf-8"))
        known = {str(name): str(value) for name, value in tokens.items()}
    except FileNotFoundError:
        raise Unusable(f"there are no demo people in {settings.var} yet: run 'make up' first, or set {TOKEN}") from None
    except (OSError, ValueError, AttributeError) as wrong:
        raise Unusable(f"{settings.demo_tokens} cannot be read: {_reason(wrong)}; set {TOKEN} instead") from wrong
    if wanted not in known:
        raise Unusable(f"{settings.demo_tokens} has no token for '{wanted}'; name one of: {', '.join(sorted(known))}")
    return known[wanted]


def part(name: str) -> str:
    """Return the id of a case, task or other item percent-encoded, for use as one part of the path of a URL."""
    return quote(name, safe="")


def problem(body: Any) -> str:
    """Return a problem document as text: its detail, and a line for each error.

    Empty if `body` is not such a document.
    """
    if not isinstance(body, dict):
        return ""
    lines = [str(body.get("detail") or body.get("title") or "")]
    for error in body.get("errors") or []:
        line, column = error.get("line"), error.get("field") or error.get("column")
        place = ", ".join(([f"line {line}"] if line else []) + ([str(column)] if column else []))
        lines.append(f"  {place + ': ' if place else ''}{error.get('message', '')}")
    return "\n".join(line for line in lines if line)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
