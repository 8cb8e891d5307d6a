"""The request of a deployment: an artefact, and the app of which the artefact is a new release."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from activities.deployment.apps import APP_NAME
from activities.shared.files_folder import relative
from activities.shared.text_fields import blank_is_none, folded_name, lines
from domain.base import Message
from domain.column_headings import DEPLOYMENT, Headings
from domain.normalization import fold


def _no_if_empty(value: Any) -> Any:
    return False if isinstance(value, str) and not value.strip() else value


class DeploymentRequest(Message):
    """A request to deploy one artefact."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    headings: ClassVar[Headings] = DEPLOYMENT

    app: Annotated[str, BeforeValidator(folded_name)] = Field(
        pattern=APP_NAME, description="The app, by its name in the file of HOLDGATE_APPS.", examples=["shop"]
    )
    artefact: str = Field(
        default="",
        max_length=200,
        description="The tar.gz file, relative to the folder of HOLDGATE_FILES. If empty, it is <app>.tar.gz.",
        examples=["shop-2.tar.gz"],
    )
    sha256: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        description="The SHA-256 of the artefact, 64 hex digits. If empty, it is read from the file <artefact>.sha256.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    version: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._+-]{0,39})?$",
        description="A label for people: letters, digits and . _ + -",
        examples=["2.0"],
    )
    security_review: Annotated[bool, BeforeValidator(_no_if_empty)] = Field(
        default=False,
        description="If true, scanners check the artefact, and people decide about the findings before it may go live.",
        examples=[False],
    )
    note: str = Field(
        default="",
        max_length=500,
        description="A note for the people who decide.",
        examples=["The spring offers"],
        json_schema_extra={"format": "multiline"},
    )

    @model_validator(mode="before")
    @classmethod
    def _named_for_its_app(cls, data: Any) -> Any:
        if isinstance(data, dict) and not str(data.get("artefact") or "").strip() and isinstance(data.get("app"), str):
            return {**data, "artefact": f"{fold(data['app'])}.tar.gz"}
        return data

    @field_validator("artefact")
    @classmethod
    def _is_below_the_folder(cls, artefact: str) -> str:
        if not artefact.endswith((".tar.gz", ".tgz")):
            raise ValueError("the name of an artefact ends in .tar.gz or .tgz")
        return relative(artefact)

    @field_validator("sha256")
    @classmethod
    def _is_a_digest(cls, sha256: str | None) -> str | None:
        if sha256 is None:
            return None
        if len(sha256) != 64 or not set(sha256.lower()) <= set("0123456789abcdef"):
            raise ValueError("a SHA-256 has 64 hex digits, as sha256sum prints them")
        return sha256.lower()

    @field_validator("note")
    @classmethod
    def _is_text(cls, note: str) -> str:
        return lines(note)
