"""The apps that may be deployed. The apps are defined in the file that the setting `HOLDGATE_APPS` names."""

import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic_core import ErrorDetails

from policy.clock import duration

APP_NAME = r"^[a-z][a-z0-9-]{0,39}$"
LONGEST = timedelta(minutes=5)
"""The longest time that an app may set for all checks of a release, and for its health check.

The timeout of these steps is a little longer.
"""

_URL = re.compile(r"https?://[^\s/?#@]+(/\S*)?")


class WrongApps(ValueError):
    """Raised if the file of apps is invalid. `str()` has one line for each mistake, with file and key."""

    safe_to_log = True


def _span(value: Any) -> Any:
    if not isinstance(value, str) or (span := duration(value)) is None:
        raise ValueError('write it as a duration such as "20s" or "2m"')
    if span > LONGEST:
        raise ValueError("must be at most 5m")
    return span


Span = Annotated[timedelta, BeforeValidator(_span)]
Words = Annotated[list[Annotated[str, Field(min_length=1, max_length=500)]], Field(min_length=1, max_length=50)]


class App(BaseModel):
    """One app: the checks that run before people decide on a release, and the health check after it is live."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    health: str
    """The URL of the health check. A release is healthy when the answer is 200."""
    health_text: str = Field("", max_length=200)
    """A text that the answer must contain; empty for no check."""
    health_release: str = Field("", max_length=60)
    """The JSON field of the answer that must hold the id of the release, so that an old release cannot answer; empty
    for no check.
    """
    health_timeout: Span = timedelta(seconds=20)
    """The maximum time from the switch until the release is healthy."""
    checks: list[Words] = Field(default=[], max_length=8)
    """Commands, each a list of words that no shell reads. The commands run in a copy of the release."""
    checks_timeout: Span = timedelta(minutes=2)
    """The maximum time for all checks of a release together."""
    checks_memory_mb: int = Field(1024, ge=64, le=65536)
    """The maximum address space of each process of a check, in MB."""
    checks_file_mb: int = Field(64, ge=1, le=4096)
    """The maximum size of the output of a check, and of each file that the check writes, in MB."""
    keep_releases: int = Field(5, ge=2, le=100)
    """How many releases that were live at some time are kept, including the release that is live now."""

    @field_validator("health")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not _URL.fullmatch(url):
            raise ValueError("must be an address such as http://127.0.0.1:8400/health, without a user or password")
        return url


_APPS = TypeAdapter(dict[Annotated[str, Field(pattern=APP_NAME)], App])


def read_apps(path: Path) -> Mapping[str, App]:
    """Return the apps in the file `path`, by name. Raises WrongApps."""
    try:
        return _APPS.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise WrongApps(f"{path}: cannot be read ({error.strerror}); HOLDGATE_APPS names the file of apps") from None
    except UnicodeDecodeError:
        raise WrongApps(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise WrongApps(f"{path}: {error}") from None
    except ValidationError as error:
        raise WrongApps("\n".join(f"{path}: {_said(problem)}" for problem in error.errors())) from None


def _said(problem: ErrorDetails) -> str:
    app, *keys = map(str, problem["loc"])
    said = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        said = f"there is no such key; known keys are {', '.join(App.model_fields)}"
    if keys == ["[key]"]:
        said = "the name of an app has small letters, digits and '-', and begins with a letter"
        keys = []
    return f"[{app}] {'.'.join(keys)}: {said}" if keys else f"[{app}]: {said}"
