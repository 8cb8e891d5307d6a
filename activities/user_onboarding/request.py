"""The request of an onboarding: a new employee, and their role."""

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from activities.shared.text_fields import blank_is_none, lines, printable
from domain.base import Message
from domain.column_headings import ONBOARDING, Headings
from domain.moments import Day
from domain.named_fields import PersonId
from domain.normalization import check_visible, fold, identity_key, search_key

MAX_USERNAME = 64

_USERNAME = re.compile(rf"[a-z][a-z0-9._-]{{1,{MAX_USERNAME - 1}}}")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
_WORD = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_NOBODY = "nobody"
"""The username that stands for a person whose full name is invalid. The field of the full name reports the error."""


def username_of(full_name: str) -> str:
    """Return the username for a full name: `Ada Lovelace` is `ada.lovelace`, `Søren Æbelø` is `soren.aebelo`.

    Raises ValueError when too few letters a to z are left.
    """
    made = (
        ".".join(_WORD.findall(search_key(full_name).replace("'", "")))
        .lstrip("0123456789.-")[:MAX_USERNAME]
        .rstrip(".-")
    )
    if not _USERNAME.fullmatch(made):
        raise ValueError(
            "no username can be made of this full name: enter a username with letters a to z, such as ada.lovelace"
        )
    return made


def _username(given: Any, info: ValidationInfo) -> Any:
    """Return the given username in small letters; if it is empty, the username for the full name."""
    if given is None or (isinstance(given, str) and not given.strip()):
        full_name = info.data.get("full_name")
        return username_of(full_name) if full_name else _NOBODY
    return fold(check_visible(given), one_script=False) if isinstance(given, str) else given


def _as_username(name: str) -> str:
    if not _USERNAME.fullmatch(name):
        raise ValueError("a username has 2 to 64 of a-z 0-9 . _ - and begins with a letter, such as ada.lovelace")
    return name


def _role(given: Any) -> Any:
    """Return the role in small letters; the default role for a blank cell of a CSV."""
    return (identity_key(given) or "employee") if isinstance(given, str) else given


class OnboardingRequest(Message):
    """A request to create an account for a new employee."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    headings: ClassVar[Headings] = ONBOARDING

    full_name: str = Field(
        min_length=1, max_length=200, description="The name as people write it, on one line.", examples=["Ada Lovelace"]
    )
    username: Annotated[
        str, BeforeValidator(_username, json_schema_input_type=str | None), AfterValidator(_as_username)
    ] = Field(
        default="",
        validate_default=True,
        description="2 to 64 of a-z 0-9 . _ - and first a letter. If empty, the username is made from the full name.",
        examples=["ada.lovelace"],
    )
    role: Annotated[str, BeforeValidator(_role)] = Field(
        default="employee",
        description="A role of the policy. The policy says which access a role gets.",
        examples=["engineer"],
    )
    manager: Annotated[PersonId | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        max_length=100,
        description="The id of the person of Holdgate who is their manager and decides; else the managers do.",
        examples=["manager-1"],
    )
    email: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        max_length=254,
        description=(
            "The e-mail address for the welcome mail. If empty, it is the username at the mail domain of the policy."
        ),
        examples=["ada@example.org"],
    )
    start_date: Annotated[Day | None, BeforeValidator(blank_is_none)] = Field(
        default=None, description="The first day of work.", examples=["2031-03-17"]
    )
    note: str = Field(
        default="",
        max_length=500,
        description="A note for the people who decide.",
        examples=["Joins the engine team"],
        json_schema_extra={"format": "multiline"},
    )

    @field_validator("full_name")
    @classmethod
    def _a_name(cls, full_name: str) -> str:
        if not any(char.isalpha() for char in check_visible(printable(full_name), joiners=True)):
            raise ValueError("write the name with letters")
        return full_name

    @field_validator("role")
    @classmethod
    def _may_be_a_role(cls, role: str) -> str:
        if not _ROLE.fullmatch(role):
            raise ValueError(
                "a role is one word that begins with a letter, such as engineer; only a-z, 0-9, _ and -, at "
                "most 60 characters"
            )
        return role

    @field_validator("manager")
    @classmethod
    def _on_one_line(cls, manager: str | None) -> str | None:
        return manager and printable(manager)

    @field_validator("email")
    @classmethod
    def _may_be_an_address(cls, email: str | None) -> str | None:
        if email is not None and not _EMAIL.fullmatch(email):
            raise ValueError("write one address such as ada@example.org, without a name or brackets")
        return email

    @field_validator("note")
    @classmethod
    def _is_text(cls, note: str) -> str:
        return lines(note)
