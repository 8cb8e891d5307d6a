"""What can be set from outside, by environment variables `HOLDGATE_*` or a `.env` file beside this one.

Read by worker.py, api/, holdgate.py and ops/ only; everything else gets what it needs by its constructor. The address
of Temporal is not here: the SDK's own variables and profiles (`TEMPORAL_ADDRESS`, ...) say it, see `connection.py`.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent
"""The checkout."""
PREFIX = "HOLDGATE_"
COMMAND_LINE = frozenset({"HOLDGATE_TOKEN", "HOLDGATE_URL"})
"""Who and where `./holdgate` speaks for; no settings of the processes."""


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
    policy: Path = ROOT / "policy.toml"
    """Who decides what and when."""
    database_url: str = Field(default_factory=lambda data: f"sqlite+aiosqlite:///{data.get('var')}/holdgate.db")
    """SQLite or PostgreSQL: `sqlite:////absolute/path.db` or `postgresql://user:password@host/name`."""
    demo: bool = True
    """Whether `make up` creates the demo people and funds the demo ledger."""
    max_upload_bytes: int = Field(10 * 1024 * 1024, ge=1024)
    """Size of an uploaded file in bytes beyond which the gateway answers 413."""

    @field_validator("public_url", "temporal_ui_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/")

    @field_validator("var", "policy")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @property
    def uploads(self) -> Path:
        """Folder of the uploaded files."""
        return self.var / "uploads"

    @property
    def demo_tokens(self) -> Path:
        """File with the demo people's tokens, a JSON object `{person: token}`, readable by its owner only."""
        return self.var / "demo-tokens.json"

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


def _line(problem: ErrorDetails) -> str:
    field = str(problem["loc"][0])
    # A database URL holds a password, which must not reach a terminal or a log.
    value = "" if field == "database_url" else f"={problem['input']}"
    return f"{PREFIX}{field.upper()}{value}: {problem['msg'].removeprefix('Value error, ')}"
