"""The HTTP client of the command line: the address and the token, the calls, and problems as text for people."""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import httpx2

from core.settings import Settings

URL = "HOLDGATE_URL"
"""The variable with the address of a gateway. Default: the one that `make up` started."""
TOKEN = "HOLDGATE_TOKEN"
"""The variable with the user's token. Default: the token of a demo person."""
TIMEOUT = 30.0
"""Seconds for one answer, which includes the check of all rows of an upload of 10 MiB."""

PATIENCE = 600.0
"""Seconds until a download begins: for an evidence pack the gateway checks the whole audit log first."""


class Denied(Exception):
    """The gateway refused a call. `str()` says why, `problem` is the whole problem document."""

    def __init__(self, said: str, problem: Mapping[str, Any]) -> None:
        super().__init__(said)
        self.problem = problem


class Unusable(Exception):
    """The gateway or a setting cannot be used; exit code 2. `str()` says what to change."""


class Away(Unusable):
    """The gateway does not answer, or has a problem of its own. The same call may work later."""


class Remote:
    """The gateway, called by one person."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **query: Any) -> Any:
        """Return the answer to a GET; parameters that are None are left out. Raises Denied, Unusable and Away."""
        return self._send("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """Return the answer to a POST of JSON; with the same `key` it takes effect once. Raises Denied, Unusable."""
        return self._send("POST", path, json=body, headers={"Idempotency-Key": key} if key else {})

    def upload(
        self, path: str, filename: str, content: bytes, form: Mapping[str, str | None] | None = None, **query: Any
    ) -> Any:
        """Return the answer to a POST of a file with form fields that say how to read it. Raises Denied, Unusable."""
        return self._send(
            "POST",
            path,
            params=query,
            files={"file": (filename, content, "text/csv")},
            data={name: value for name, value in (form or {}).items() if value},
        )

    def download(self, path: str, into: BinaryIO, media_type: str = "text/csv", /, **query: Any) -> None:
        """Write the answer to a GET into a file as it arrives. Raises Denied, Unusable, and OSError of the file."""
        params = {name: value for name, value in query.items() if value is not None}
        with self._asking("GET", path, params=params, headers={"Accept": media_type}, timeout=PATIENCE) as answer:
            if not answer.headers.get("content-type", "").startswith(media_type):
                raise Unusable(self._no_gateway)
            for chunk in answer.iter_bytes():
                into.write(chunk)

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the name and the data of each server-sent event, until the gateway ends the stream.

        A comment, which keeps the connection alive, yields an empty name and None. Raises Denied, Unusable and Away.
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
        """Post once for each page, and return the first answer with the items of all pages."""
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
        """Yield a successful answer, whose body is not read yet. Raises Denied, Unusable and Away."""
        address = f"{self.url}/api/v1/{path}"
        sent = {**self._headers, **(headers or {})}
        try:
            # A proxy for the internet does not reach a gateway on this machine.
            with (
                httpx2.Client(timeout=TIMEOUT, trust_env=not _on_this_machine(self.url)) as client,
                client.stream(method, address, headers=sent, **request) as answer,
            ):
                if not answer.is_success:
                    answer.read()
                    raise self._refusal(answer)
                yield answer
        except httpx2.HTTPError as wrong:
            raise Away(f"no gateway answers at {self.url} ({_reason(wrong)}); start it with 'make up'") from wrong
        except (httpx2.InvalidURL, ValueError) as wrong:
            raise Unusable(f"{self.url} or the token cannot be used: {_reason(wrong)}") from wrong

    def _refusal(self, answer: httpx2.Response) -> Denied | Unusable:
        try:
            body = answer.json()
        except ValueError:
            body = None
        said = problem(body)
        if answer.is_server_error:
            return Away(said or f"{self.url} answers {answer.status_code}")
        if not said:
            return Unusable(self._no_gateway)
        return Unusable(said) if answer.status_code == 401 else Denied(said, body or {})

    @property
    def _no_gateway(self) -> str:
        return f"{self.url} does not answer as a Holdgate gateway does; is {URL} right?"


def address(settings: Settings, environment: Mapping[str, str]) -> str:
    """Return the address of the gateway: `HOLDGATE_URL`, else that of `make up`, else that in the settings."""
    if url := environment.get(URL):
        return url
    try:
        return str(json.loads(settings.up_file.read_text(encoding="utf-8"))["gateway_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return settings.public_url


def token(settings: Settings, environment: Mapping[str, str], person: str | None, default: str | None) -> str:
    """Return the token to use: `person`'s among the demo tokens, else `HOLDGATE_TOKEN`, else `default`'s.

    Raises Unusable, which names the variable to set.
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
        raise Unusable(f"{settings.demo_tokens} cannot be read: {_reason(wrong)}") from wrong
    if wanted not in known:
        raise Unusable(f"no token for '{wanted}' in {settings.demo_tokens}; there are {', '.join(sorted(known))}")
    return known[wanted]


def part(name: str) -> str:
    """Return a case or task id as one part of a path, percent-encoded."""
    return quote(name, safe="")


def problem(body: Any) -> str:
    """Return a problem document as text: the detail, and a line for each field. Empty for anything else."""
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
