"""The request of a security review: a folder or an archive to scan."""

from typing import ClassVar

from pydantic import ConfigDict, Field, field_validator

from activities.shared.files_folder import relative
from activities.shared.text_fields import lines
from domain.base import Message
from domain.column_headings import SECURITY_REVIEW, Headings


class SecurityReviewRequest(Message):
    """The target of a scan, and how long an accepted risk stays accepted."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    headings: ClassVar[Headings] = SECURITY_REVIEW

    target: str = Field(
        min_length=1,
        max_length=500,
        description="A folder, or an archive (.tar.gz), by its path in the folder of files.",
        examples=["shop.tar.gz"],
    )
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description=(
            "The SHA-256 of the archive, in small hexadecimal digits. An archive with another SHA-256 is refused."
        ),
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    accept_for_days: int = Field(
        default=90,
        ge=1,
        le=365,
        description=("The number of days for which the people who approve accept the risk."),
        examples=[90],
    )
    note: str = Field(
        default="",
        max_length=500,
        description="A note for the people who decide.",
        examples=["Before the release of May"],
        json_schema_extra={"format": "multiline"},
    )

    @field_validator("target")
    @classmethod
    def _is_inside(cls, target: str) -> str:
        return relative(target)

    @field_validator("note")
    @classmethod
    def _is_text(cls, note: str) -> str:
        return lines(note)
