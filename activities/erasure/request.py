"""The request of an erasure: the case, person or upload to erase, by id."""

from typing import Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from activities.shared.text_fields import lines, printable
from domain.base import Message
from domain.erasure import SubjectKind


class ErasureRequest(Message):
    """A request to erase a case, a person or an upload. It names its subject by id only."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    kind: SubjectKind = Field(description="What to erase: a case, a person or an upload.", examples=["case"])
    id: str = Field(
        min_length=1,
        max_length=900,
        description="The id of the case, person or upload.",
        examples=["payment:inv-1042"],
    )
    reason: str = Field(
        min_length=3,
        max_length=500,
        description="Why. Write no names and no other personal data: the reason stays in the audit log.",
        examples=["Request 2026-114 of the data subject"],
        json_schema_extra={"format": "multiline"},
    )
    cases: bool = Field(
        default=False,
        description="Only for a person: also erase the ended cases that the person asked for.",
        examples=[False],
    )

    @field_validator("kind", mode="before")
    @classmethod
    def _small(cls, kind: Any) -> Any:
        return kind.strip().lower() if isinstance(kind, str) else kind

    @field_validator("cases", mode="before")
    @classmethod
    def _blank_is_no(cls, cases: Any) -> Any:
        return False if isinstance(cases, str) and not cases.strip() else cases

    @field_validator("id")
    @classmethod
    def _one_line(cls, id: str) -> str:
        return printable(id)

    @field_validator("reason")
    @classmethod
    def _text(cls, reason: str) -> str:
        return lines(reason)

    @model_validator(mode="after")
    def _cases_of_a_person(self) -> "ErasureRequest":
        if self.cases and self.kind != "person":
            raise ValueError("`cases` is only for a person: leave it out for a case or an upload")
        return self
