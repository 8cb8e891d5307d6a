"""Define and read all settings: environment variables `HOLDGATE_*`, or lines of a `.env` file in the checkout.

Only these modules read settings: worker.py, api/, cli/, ops/, plugins/, scripts/, core/temporal.py,
channels/registry.py and cases/reconcile/send_notifications.py. All other modules get the values as arguments.

The address of Temporal is not a setting of Holdgate: the SDK reads it from its own variables and
profiles (`TEMPORAL_ADDRESS`, ...), see `core/temporal.py`.
"""

import difflib
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import time
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict

from core.hosts import is_ip_address as is_ip_address, is_loopback as is_loopback, origin_of as origin_of
from core.oidc_settings import OidcSettings
from core.outbound_guard import OutboundGuard
from domain import rate_limits, retention

ROOT = Path(__file__).resolve().parents[1]
"""The folder of the checkout: the root of this repository."""
PREFIX = "HOLDGATE_"
COMMAND_LINE = frozenset({"HOLDGATE_TOKEN", "HOLDGATE_URL"})
"""Variables of `./holdgate` only: the token and the address of the gateway.

The gateway and the worker do not read these variables.
"""

LOOPBACK = {"host": "127.0.0.1", "public_url": "http://localhost:8000"}
"""By name of a setting: an address that only programs on this machine can reach."""

_RENAMED = ("HOLDGATE_INBOX_", "HOLDGATE_IMPORT_")
"""The old start of the names of two settings, and the new start."""
_CREDENTIALS = re.compile(r"(?<=://).*@|^[^\s:/]+:(?!//).*@", re.DOTALL)
_SENDER = re.compile(r"[^\s@<>]+@[^\s@<>]+")


class WrongSettings(ValueError):
    """Raised if one or more settings cannot be used.

    The text has one line for each wrong setting, which names its variable.
    """

    safe_to_log = True


class Settings(OidcSettings):
    """Every setting with its default. A relative path counts from the working directory.

    A setting that can hold a password or a token has the type `SecretStr`, or `Field(repr=False)`. Holdgate never
    prints the value of a setting of these two kinds, not even in the message about a wrong value.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ROOT / ".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    host: str = "127.0.0.1"
    """The host name or IP address on which the gateway listens."""
    port: int = Field(8000, ge=1, le=65535)
    """The port on which the gateway listens."""
    public_url: str = Field(default_factory=lambda data: f"http://localhost:{data.get('port')}")
    """The URL of the gateway for people's browsers. Pages and mails use the URL in links.

    The default has a name and not an address, because browsers refuse passkeys at an IP address.
    """
    passkey_domain: str | None = None
    """The domain for which people's passkeys are made: the host of `public_url`, or a domain above it. Any other
    domain makes the passkeys that people have useless.

    None: the host of `public_url`.
    """
    temporal_port: int = Field(7233, ge=1, le=65535)
    """The port of the Temporal server that `make up` starts."""
    ui_port: int = Field(8233, ge=1, le=65535)
    """The port of the Web UI of the Temporal server that `make up` starts."""
    temporal_ui_url: str = Field(default_factory=lambda data: f"http://127.0.0.1:{data.get('ui_port')}")
    """The URL of Temporal's Web UI, for links to the Workflow of a case."""
    var: Path = ROOT / "var"
    """The state folder, with files that Holdgate writes, such as databases, uploads, attachments and logs."""
    policy: Path = ROOT / "config" / "policy.toml"
    """The policy file, which says who can decide and until when."""
    signing_key: Path = Field(default_factory=lambda data: data["var"] / "keys" / "gateway.pem")
    """The file with the private key with which the gateway signs messages to cases."""
    worker_key: Path = Field(default_factory=lambda data: data["var"] / "keys" / "worker.pem")
    """The file with the private key with which workers sign their own messages to cases."""
    trusted_keys: Path = Field(default_factory=lambda data: data["var"] / "keys" / "trusted.toml")
    """The registry of public keys: cases believe only messages that one of these keys has signed."""
    secrets_key: Path = Field(default_factory=lambda data: data["var"] / "keys" / "secrets.key")
    """The file of the key that encrypts secrets in the database, such as refresh tokens of identity providers."""
    payload_keys: Path | None = None
    """The file of the keys that encrypt the payloads of Workflows in Temporal, the current key first.

    None: Temporal stores payloads in plain.
    """
    mappings: Path = ROOT / "config" / "mappings.toml"
    """The file of saved column mappings, and of values for fields that files do not contain."""
    processes: Path | None = None
    """The folder of your own processes (plugins), which Holdgate loads in addition to its own. None: no plugins."""
    database_url: str = Field(default_factory=lambda data: f"sqlite:///{data.get('var')}/holdgate.db", repr=False)
    """The database: `sqlite:////absolute/path.db` or `postgresql://user:password@host/name`."""
    record_key: Path = Field(default_factory=lambda data: Path(data.get("var") or "var") / "keys" / "record.key")
    """The file of the private key that signs checkpoints of the audit log."""
    record_origin: str | None = Field(None, pattern=r"^[^\s+]{1,100}$")
    """The name of the audit log in its checkpoints, such as `holdgate.example.org/record`. A new key gets this name.

    None: the host and port of `public_url`, and `/record`.
    """
    database_owner_url: SecretStr | None = None
    """The same PostgreSQL database with the role that owns its tables, for migrations and erasure.

    The role of `database_url` then cannot change or delete rows of the audit log. None: one role does everything.
    """
    files: Path = ROOT / "docs" / "samples" / "files"
    """The folder of files that the input of a case can name: data to import, artefacts to deploy or to scan."""
    apps: Path = ROOT / "docs" / "samples" / "apps.toml"
    """The file that lists the apps which cases may deploy."""
    unisolated_code: Literal["refuse", "accept"] = "refuse"
    """What to do on a machine that cannot isolate code: `refuse` to run code of an approved artefact, or `accept`
    that the code runs as the user of the worker."""
    demo: bool = True
    """True if the demo is on: `make up` creates the demo people and puts money into the demo ledger."""
    max_upload_bytes: int = Field(10 * 1024 * 1024, ge=1024)
    """Size of an uploaded file in bytes beyond which the gateway answers 413."""
    import_dir: Path | None = None
    """The drop folder.

    Files in this folder, and in its subfolders named `PROCESS` or `PROCESS@MAPPING`, are imported. None: no import.
    """
    import_requester: str | None = Field(default_factory=lambda data: "requester-1" if data.get("demo") else None)
    """The id of the person who is the requester of all cases of files in the drop folder. If this person has left, the
    person's successor is the requester.
    """
    max_attachment_bytes: int = Field(10 * 1024 * 1024, ge=1024)
    """Size of an attachment in bytes beyond which the gateway answers 413."""

    scim_token: SecretStr | None = None
    """The token with which an identity provider creates people and sets groups by SCIM. None: SCIM is off."""

    session_minutes: int = Field(12 * 60, ge=5, le=24 * 60)
    """Minutes after which a person is signed out of the pages, at most a day.

    The pages warn the person five minutes before.
    """
    locale: str = Field("en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")
    """The language of the pages: the name of a folder in `api/locales`, or `en`."""

    batch_in_flight: int = Field(50, ge=1, le=10_000)
    """The most started cases of one batch that have not reached a gate or an end yet.

    At this number, the import waits up to 5 seconds before it starts more cases of the batch.
    """
    batch_rate: float | None = Field(None, gt=0, le=10_000)
    """The most cases of one batch that are started in a second. None: only `batch_in_flight` limits the number."""

    log: Literal["console", "json"] = "console"
    """The format of logs: `console` (text for people) or `json` (one JSON object a line)."""
    log_texts: bool = False
    """True if logs also hold the messages of exceptions and the texts of notifications, which can quote people's
    data. This setting is for development.
    """
    worker_metrics: str | None = None
    """The address and port on which a worker serves the Temporal SDK's metrics, such as `127.0.0.1:9464`.

    None: no metrics.
    """
    smtp_url: SecretStr | None = None
    """The mail server: `smtp://user:password@host:587` (changes to TLS) or `smtps://...` (TLS from the start)."""
    mail_from: str | None = None
    """The sender of mails, such as `Holdgate <holdgate@example.org>`."""
    channels: str = "console"
    """The channels through which people are notified, separated by commas: `console`, `smtp`.

    `channels/registry.py` checks the names.
    """
    digest_at: time = time(8)
    """Time of day, in UTC, when the daily digest is sent."""
    notice_window_s: int = Field(300, ge=1, le=86400)
    """The least number of seconds between two messages to one person through one channel, except messages about
    accounts.

    Notifications in between are collected.
    """

    rate_limits: str | None = None
    """How many requests of a kind one caller may send: `off`, or changes of the defaults, such as
    `decisions=60/m, uploads=6/m`. None: the defaults of `domain/rate_limits.py`.
    """
    retention: str | None = None
    """How long the content of ended cases is kept, by process, such as `payment=3650d, approval=90d`.

    A process without a period keeps everything. None: nothing is erased by its age.
    """
    outbound_allow: str | None = None
    """Hosts and networks, separated by commas, to which Holdgate may connect although they are not public, such as
    `idp.internal, 10.20.0.0/16`. None: only public addresses.
    """

    @field_validator("public_url", "temporal_ui_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        if origin_of(url) is None:
            raise ValueError("must name a host, such as https://holdgate.example.org")
        return url.rstrip("/")

    @field_validator(
        "var",
        "signing_key",
        "worker_key",
        "trusted_keys",
        "secrets_key",
        "record_key",
        "policy",
        "mappings",
        "files",
        "apps",
    )
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("payload_keys")
    @classmethod
    def _absolute_if_set(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()

    @field_validator("processes", "import_dir")
    @classmethod
    def _resolved(cls, path: Path | None) -> Path | None:
        # Python must know each module by one path. No part of the path of the drop folder can be a link.
        return path and path.expanduser().resolve()

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            with suppress(ValueError):  # an invalid port: its message would repeat the password
                where = urlsplit(url.get_secret_value())
                if where.scheme in ("smtp", "smtps") and where.hostname and where.port != 0:
                    return url
            raise ValueError("must look like smtp://user:password@host:587 or smtps://user:password@host:465")
        return None

    @field_validator("scim_token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise ValueError("must have only ASCII letters, digits and signs, and no spaces")
        return token

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

    @field_validator("rate_limits")
    @classmethod
    def _rates(cls, limits: str | None) -> str | None:
        rate_limits.parse(limits)
        return limits

    @field_validator("retention")
    @classmethod
    def _periods(cls, periods: str | None) -> str | None:
        retention.parse(periods)
        return periods

    @field_validator("outbound_allow")
    @classmethod
    def _hosts_and_networks(cls, allow: str | None) -> str | None:
        OutboundGuard.parse(allow)
        return allow

    @field_validator("channels")
    @classmethod
    def _distinct(cls, channels: str) -> str:
        return ",".join(dict.fromkeys(name.strip() for name in channels.split(",")))

    @field_validator("digest_at")
    @classmethod
    def _in_utc(cls, at: time) -> time:
        if at.tzinfo is not None:
            raise ValueError("must not have a time zone: write a time in UTC, such as 08:00")
        return at

    @model_validator(mode="after")
    def _passkeys_belong_to_the_address(self) -> Self:
        """Refuse a domain of passkeys for which the browser would refuse every passkey."""
        if self.passkey_domain is not None:
            host, domain = urlsplit(self.public_url).hostname or "", self.passkey_domain.lower()
            if domain != host and not ("." in domain and host.endswith(f".{domain}")):
                raise ValueError(
                    f"{PREFIX}PASSKEY_DOMAIN={self.passkey_domain}: must be the host of {PREFIX}PUBLIC_URL ({host}), "
                    "or a domain above it, such as example.org for holdgate.example.org"
                )
        return self

    @model_validator(mode="after")
    def _demo_stays_on_this_machine(self) -> Self:
        """Refuse settings by which other machines can reach a demo, because demo people need no password."""
        if self.demo and self.passwords == "off":
            raise ValueError(
                f"{PREFIX}PASSWORDS=off: {PREFIX}DEMO is on, whose people need no password. Set {PREFIX}DEMO=0"
            )
        if self.demo:
            for name, value, host in (
                ("host", self.host, self.host),
                ("public_url", self.public_url, urlsplit(self.public_url).hostname or ""),
            ):
                if not is_loopback(host):
                    shown = f"{PREFIX}{name.upper()}={_without_credentials(value)}"
                    raise ValueError(
                        f"{shown}: other machines can reach this address, and {PREFIX}DEMO is "
                        f"on, whose people need no password. Set {PREFIX}DEMO=0, or set {PREFIX}{name.upper()} to an "
                        f"address of this machine only, such as {LOOPBACK[name]}"
                    )
        return self

    @property
    def https(self) -> bool:
        """True if `public_url` begins with https, so that browsers reach the gateway by https."""
        return self.public_url.startswith("https://")

    @property
    def shared(self) -> tuple[Path | None, ...]:
        """The folders that people outside Holdgate also use.

        Holdgate does not change the permissions of these folders.
        """
        return self.import_dir, self.files, self.processes

    @property
    def attachments(self) -> Path:
        """The folder of attachments. The name of each file is the hash of its content."""
        return self.var / "attachments"

    @property
    def uploads(self) -> Path:
        """The folder of the uploaded files."""
        return self.var / "uploads"

    @property
    def owner_url(self) -> str | None:
        """The URL of the database for its owner; None if there is only one role."""
        return self.database_owner_url.get_secret_value() if self.database_owner_url else None

    @property
    def record_public_keys(self) -> Path:
        """The file with the public keys of checkpoints, beside the registry of public keys."""
        return self.trusted_keys.with_name("record.vkey")

    @property
    def checkpoints(self) -> Path:
        """The folder to which workers export the signed checkpoints of the audit log."""
        return self.var / "checkpoints"

    @property
    def demo_tokens(self) -> Path:
        """The file with the demo people's tokens: a JSON object `{person: token}` that only its owner can read."""
        return self.var / "demo-tokens.json"

    @property
    def demo_secret(self) -> Path:
        """The file with the secret that a browser needs to sign in as a demo person.

        Only the owner of the file can read the file.
        """
        return self.var / "demo-secret"

    @property
    def up_file(self) -> Path:
        """The file that `make up` writes when all programs are ready, with their addresses."""
        return self.var / "up.json"


def load(**values: Any) -> Settings:
    """Return the settings of this program. `values` replace the values of the environment and of `.env`. Raises
    WrongSettings.
    """
    try:
        return Settings(**values)
    except ValidationError as error:
        # A default that is derived from a wrong value is not a second mistake.
        problems = [problem for problem in error.errors() if problem["type"] != "default_factory_not_called"]
        raise WrongSettings("\n".join(_line(problem) for problem in problems)) from None


def unknown_variables() -> list[str]:
    """Return a line for each `HOLDGATE_*` name in the environment or in `.env` that is not a setting.

    Each program prints or logs these lines when it starts. An empty value counts as not set.
    """
    return unknown({*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings).env_vars})


def unknown(names: Iterable[str]) -> list[str]:
    """Return a line for each `HOLDGATE_*` name that is not a setting, with the setting whose name is similar, if there
    is one.
    """
    known = [*(PREFIX + name.upper() for name in Settings.model_fields), *COMMAND_LINE]
    lines = []
    for name in sorted(map(str.upper, names)):  # the case of a name does not matter
        if name.startswith(PREFIX) and name not in known:
            near = [renamed] if (renamed := name.replace(*_RENAMED)) in known else []
            near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            lines.append(f"{name} is not a setting" + (f"; is {near[0]} meant?" if near else ""))
    return lines


def _line(problem: ErrorDetails) -> str:
    """Return the message about one wrong setting: the variable, its value if it is not secret, and the reason."""
    if not problem["loc"]:  # a check of several settings, whose message names them
        return problem["msg"].removeprefix("Value error, ")
    name = str(problem["loc"][0])
    field = Settings.model_fields.get(name)
    # A password or a token must not reach a terminal or a log.
    hidden = field is not None and _is_secret(field)
    value = "" if hidden else f"={_without_credentials(str(problem['input']))}"
    return f"{PREFIX}{name.upper()}{value}: {problem['msg'].removeprefix('Value error, ')}"


def _is_secret(field: FieldInfo) -> bool:
    """Return True if the value of this setting must never be printed."""
    return not field.repr or SecretStr in (field.annotation, *get_args(field.annotation))


def _without_credentials(value: str) -> str:
    """Return the value with `***` in place of the user and password of a URL, even if the URL has no scheme."""
    return _CREDENTIALS.sub("***@", value)
