"""The request of a data import: a file, and the dataset that gets a new version."""

from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from activities.shared.files_folder import relative
from activities.shared.text_fields import folded_name, lines
from domain.base import Message
from domain.column_headings import DATA_IMPORT, Headings
from domain.normalization import fold

FORMATS = (".csv", ".jsonl")


class DataImportRequest(Message):
    """One file of data. Files are named by their path in the files folder (`HOLDGATE_FILES`)."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    headings: ClassVar[Headings] = DATA_IMPORT

    dataset: Annotated[str, BeforeValidator(folded_name)] = Field(
        min_length=1,
        max_length=120,
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description="The dataset, in small letters, digits, dots, dashes and underscores.",
        examples=["customers"],
    )
    file: str = Field(
        default="",
        max_length=500,
        description="The name of the file, which ends in .csv or .jsonl. If empty, it is <dataset>.csv.",
        examples=["customers.csv"],
    )
    schema_file: str = Field(
        default="",
        max_length=500,
        description="The file with a JSON Schema of one row. If empty, it is <dataset>.schema.json.",
        examples=["customers.schema.json"],
    )
    note: str = Field(
        default="",
        max_length=500,
        description="A note for those who decide.",
        examples=["The export of October"],
        json_schema_extra={"format": "multiline"},
    )

    @model_validator(mode="before")
    @classmethod
    def _usual_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(name := data.get("dataset"), str):
            usual = {"file": f"{fold(name)}.csv", "schema_file": f"{fold(name)}.schema.json"}
            return {**data, **{field: value for field, value in usual.items() if data.get(field) in (None, "")}}
        return data

    @field_validator("file", "schema_file")
    @classmethod
    def _is_inside(cls, name: str) -> str:
        return relative(name) if name else name

    @field_validator("file")
    @classmethod
    def _is_data(cls, name: str) -> str:
        if name and PurePosixPath(name).suffix.lower() not in FORMATS:
            raise ValueError(f"the name must end in {' or '.join(FORMATS)}, which says how it is read")
        return name

    @field_validator("note")
    @classmethod
    def _is_text(cls, note: str) -> str:
        return lines(note)
