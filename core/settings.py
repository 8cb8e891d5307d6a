"""What can be set from outside, by environment variables `HOLDGATE_*` or a `.env` file beside this one.

Read by worker.py, api/, cli/, ops/, channels/registry.py and plugins/shipped.py only; everything else gets what
it needs by its constructor. The address of Temporal is not here: the SDK's own variables and profiles
(`TEMPORAL_ADDRESS`, ...) say it, see `core/temporal.py`.
"""

import difflib
import ipaddress
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from datetime import time
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""
PREFIX = "HOLDGATE_"
COMMAND_LINE = frozenset({"HOLDGATE_TOKEN", "HOLDGATE_URL"})
"""Who and where `./holdgate` speaks for; no settings of the processes."""

LOOPBACK = {"host": "127.0.0.1", "public_url": "http://127.0.0.1:8000"}
"""By setting: a value that only this machine reaches."""

_SENDER = re.compile(r"[^\s@<>]+@[^\s@<>]+")


class WrongSettings(ValueError):
    """One or more settings cannot be used. `str()` is one line each, naming the variable."""


class Settings(BaseSettings):
    """Every setting with its default. Paths are absolute: a relative one is taken from the working directory."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ROOT / ".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    host: str = "127.0.0.1"
    """Address the gateway listens on."""
    port: int = Field(8000, ge=1, le=65535)
    """Port of the gateway."""
    public_url: str = Field(default_factory=lambda data: f"http://127.0.0.1:{data.get('port')}")
    """The gateway's address as people's browsers reach it, for links."""
    temporal_port: int = Field(7233, ge=1, le=65535)
    """Port of the Temporal server that `make up` starts."""
    ui_port: int = Field(8233, ge=1, le=65535)
    """Port of the Web UI of that server."""
    temporal_ui_url: str = Field(default_factory=lambda data: f"http://127.0.0.1:{data.get('ui_port')}")
    """Address of Temporal's Web UI, for links to a case."""
    var: Path = ROOT / "var"
    """Folder of everything that changes: databases, uploads, logs, `up.json`, demo tokens."""
    policy: Path = ROOT / "config" / "policy.toml"
    """Who decides what and when."""
    mappings: Path = ROOT / "config" / "mappings.toml"
    """Saved mappings of the columns of people's files, and usual values."""
    processes: Path | None = None
    """Folder of processes of your own, which are loaded beside the shipped ones."""
    database_url: str = Field(default_factory=lambda data: f"sqlite+aiosqlite:///{data.get('var')}/holdgate.db")
    """SQLite or PostgreSQL: `sqlite:////absolute/path.db` or `postgresql://user:password@host/name`."""
    files: Path = ROOT / "docs" / "samples" / "files"
    """Folder of the files that cases name: data to import, artefacts to deploy or to scan."""
    apps: Path = ROOT / "docs" / "samples" / "apps.toml"
    """The apps that may be deployed."""
    unisolated_code: Literal["refuse", "accept"] = "refuse"
    """`accept`: code of an approved artefact may run as the worker's user, where it cannot be isolated."""
    demo: bool = True
    """Whether `make up` creates the demo people and funds the demo ledger."""
    max_upload_bytes: int = Field(10 * 1024 * 1024, ge=1024)
    """Size of an uploaded file in bytes beyond which the gateway answers 413."""
    inbox_dir: Path | None = None
    """Folder whose files are imported as they are dropped there: directly, or in a folder named after a process."""
    inbox_requester: str | None = Field(default_factory=lambda data: "requester-1" if data.get("demo") else None)
    """The id of the person who asks for the cases of these files."""
    max_attachment_bytes: int = Field(10 * 1024 * 1024, ge=1024)
    """Size of an attachment in bytes beyond which the gateway answers 413."""

    session_minutes: int = Field(12 * 60, ge=5, le=24 * 60)
    """How long somebody stays signed in to the pages; they are asked five minutes before, and a day is the most."""
    locale: str = Field("en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")
    """The language of the pages: a folder of `api/locales`, or `en`."""

    batch_in_flight: int = Field(50, ge=1, le=10_000)
    """Cases of one batch that may be on their way to a gate or an end while more of it are started."""
    batch_rate: float | None = Field(None, gt=0, le=10_000)
    """Most cases of one batch that are started in a second; as fast as they come to their gates by default."""

    log: Literal["console", "json"] = "console"
    """How logs are written: `console`, for people, or `json`, an object a line."""
    worker_metrics: str | None = None
    """Where a worker serves the Temporal SDK's metrics, such as `127.0.0.1:9464`; nowhere by default."""
    smtp_url: SecretStr | None = None
    """The mail server: `smtp://user:password@host:587` (changes to TLS) or `smtps://...` (TLS from the start)."""
    mail_from: str | None = None
    """Whom mails are from: `Holdgate <holdgate@example.org>`."""
    channels: str = "console"
    """How people are notified, comma separated: `console`, `smtp`. `channels/registry.py` checks them."""
    digest_at: time = time(8)
    """When, in UTC, what people want to hear of once a day is sent."""
    notice_window_s: int = Field(300, ge=1, le=86400)
    """The least number of seconds between two messages to one person through one channel."""

    @field_validator("public_url", "temporal_ui_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        if origin_of(url) is None:
            raise ValueError("must name a host, such as https://holdgate.example.org")
        return url.rstrip("/")

    @field_validator("var", "policy", "mappings", "files", "apps")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("processes", "inbox_dir")
    @classmethod
    def _resolved(cls, path: Path | None) -> Path | None:
        # Python must know each module by one path; of the way to the inbox no part may be a link.
        return path and path.expanduser().resolve()

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            with suppress(ValueError):  # of a port that is none, whose message would repeat it
                where = urlsplit(url.get_secret_value())
                if where.scheme in ("smtp", "smtps") and where.hostname and where.port != 0:
                    return url
            raise ValueError("must look like smtp://user:password@host:587 or smtps://user:password@host:465")
        return None

    @field_validator("worker_metrics")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"[\w.:\[\]-]+:\d{1,5}", address):
            raise ValueError("must be an address and a port, such as 127.0.0.1:9464")
        return address

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, sender: str | None) -> str | None:
        if sender is not None and not (sender.isprintable() and _SENDER.fullmatch(parseaddr(sender)[1])):
            raise ValueError("must look like holdgate@example.org or Holdgate <holdgate@example.org>")
        return sender

    @field_validator("channels")
    @classmethod
    def _distinct(cls, channels: str) -> str:
        return ",".join(dict.fromkeys(name.strip() for name in channels.split(",")))

    @field_validator("digest_at")
    @classmethod
    def _in_utc(cls, at: time) -> time:
        if at.tzinfo is not None:
            raise ValueError("is a time in UTC without a zone: write the time as 08:00")
        return at

    @model_validator(mode="after")
    def _demo_stays_on_this_machine(self) -> Self:
        """Refuse a demo that others could reach: its people are for whoever sits at this machine."""
        if self.demo:
            for name, value, host in (
                ("host", self.host, self.host),
                ("public_url", self.public_url, urlsplit(self.public_url).hostname or ""),
            ):
                if not is_loopback(host):
                    raise ValueError(
                        f"{PREFIX}{name.upper()}={value}: other machines can reach this address, and {PREFIX}DEMO is "
                        f"on, whose people need no password. Set {PREFIX}DEMO=0, or set {PREFIX}{name.upper()} to an "
                        f"address of this machine only, such as {LOOPBACK[name]}"
                    )
        return self

    @property
    def https(self) -> bool:
        """Whether people's browsers reach the gateway by https."""
        return self.public_url.startswith("https://")

    @property
    def shared(self) -> tuple[Path | None, ...]:
        """Folders of other people, whose modes are theirs to choose."""
        return self.inbox_dir, self.files, self.processes

    @property
    def attachments(self) -> Path:
        """Folder of attachments, by the hash of their content."""
        return self.var / "attachments"

    @property
    def uploads(self) -> Path:
        """Folder of the uploaded files."""
        return self.var / "uploads"

    @property
    def demo_tokens(self) -> Path:
        """File with the demo people's tokens, a JSON object `{person: token}`, readable by its owner only."""
        return self.var / "demo-tokens.json"

    @property
    def demo_secret(self) -> Path:
        """File with what a browser must show to sign in as a demo person, readable by its owner only."""
        return self.var / "demo-secret"

    @property
    def up_file(self) -> Path:
        """File that `make up` writes when everything answers."""
        return self.var / "up.json"


def load(**values: Any) -> Settings:
    """The settings of this process; `values` win over the environment. Raises WrongSettings."""
    try:
        return Settings(**values)
    except ValidationError as error:
        # A default derived from a wrong value is no mistake of its own.
        problems = [problem for problem in error.errors() if problem["type"] != "default_factory_not_called"]
        raise WrongSettings("\n".join(_line(problem) for problem in problems)) from None


def unknown(names: Iterable[str]) -> list[str]:
    """One line for each `HOLDGATE_*` name that is no setting: most likely a slip of the finger."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    lines = []
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in known and name not in COMMAND_LINE:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            lines.append(f"{name} is not a setting" + (f"; is {near[0]} meant?" if near else ""))
    return lines


def is_loopback(host: str) -> bool:
    """Whether a host, as a setting or a browser writes it, always means this machine.

    Of names only `localhost` does: whoever answers for any other may let it mean another machine tomorrow.
    """
    host = host.strip("[]").lower()
    if host.removesuffix(".") == "localhost":
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    if re.fullmatch(r"[0-9a-fx]+(\.[0-9a-fx]+){0,3}", host):  # `127.1`, as the system and browsers read it
        with suppress(OSError):
            return ipaddress.IPv4Address(socket.inet_aton(host)).is_loopback
    return False


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an address as browsers compare them; None for what is no address."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme, host.lower(), port) if host else None


def _line(problem: ErrorDetails) -> str:
    if not problem["loc"]:  # of more than one setting, which the message names
        return problem["msg"].removeprefix("Value error, ")
    field = str(problem["loc"][0])
    # These URLs hold a password, which must not reach a terminal or a log.
    value = "" if field in ("database_url", "smtp_url") else f"={problem['input']}"
    return f"{PREFIX}{field.upper()}{value}: {problem['msg'].removeprefix('Value error, ')}"
