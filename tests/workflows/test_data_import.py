"""Data imports: checked, staged, approved by stewards, published at once, and rolled back."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from activities.data_import.dataset_file import DatasetFile
from activities.data_import.request import DataImportRequest
from activities.data_import.steps import DataImports, Staging
from core.settings import load
from domain.case import CaseResult
from domain.errors import Refused
from domain.input_errors import problems_of
from domain.status import Status, Verdict
from store.receivers import idempotency
from store.receivers.datasets import Datasets, DatasetView
from tests.support.engine_fixture import Handle, House, open_house
from tests.support.installed_app import ROOT
from tests.workflows.test_kills import ALL, life, lived, mortal
from tests.workflows.test_payment import SHIPPED

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "name"],
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "name": {"type": "string", "minLength": 1},
        "limit": {"type": ["number", "null"]},
        "active": {"type": "boolean"},
    },
}
OCTOBER = "id,name,limit,active\n1,Acme,10.5,true\n2,Bolt,,false\n3,Corn,7,true\n"
NOVEMBER = "id,name,limit,active\n1,Acme,12,true\n2,Bolt,,false\n3,Corn,7,true\n4,Dune,1,true\n"


@dataclass
class Office:
    """A house with a folder of files, and the store that imports end in."""

    house: House
    files: Path
    datasets: Datasets

    def write(self, name: str, text: str, schema: Any = SCHEMA) -> None:
        (self.files / name).write_text(text)
        (self.files / f"{name.rpartition('.')[0]}.schema.json").write_text(json.dumps(schema))

    async def start(self, dataset: str, text: str = OCTOBER, policy: str = SHIPPED) -> Handle:
        self.write(f"{dataset}.csv", text)
        return await self.house.start(DataImportRequest(dataset=dataset), process="data_import", policy=policy)

    async def published(self, dataset: str, text: str = OCTOBER) -> Handle:
        case = await self.start(dataset, text)
        await self.house.decide(case, "stella")
        assert (await self.house.end(case)).status is Status.COMPLETED
        return case

    async def view(self, dataset: str) -> DatasetView | None:
        return await self.datasets.view(dataset)

    async def names(self, dataset: str) -> list[str]:
        """The names in the published rows; empty when nothing is published."""
        view = await self.view(dataset)
        rows = await self.datasets.rows(dataset, view.version, limit=1000) if view else []
        return [row["name"] for _, row in rows]

    async def counted(self, case: Handle) -> dict[str, int]:
        async with self.house.database.read() as conn:
            return await idempotency.count(conn, case.id)

    async def versions(self, dataset: str) -> int:
        """How many versions have rows, published or not."""
        return sum([bool(await self.datasets.rows(dataset, version)) for version in range(1, 10)])


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    (folder / "files").mkdir()
    async with open_house(folder, settings=load(var=folder, files=folder / "files")) as house:
        yield Office(house, folder / "files", Datasets(house.database))


async def test_stewards_see_the_profile_and_what_they_approve_is_published(office: Office) -> None:
    case = await office.start("approved")
    task = await office.house.open_task(case)
    assert task.candidate_groups == ["data-stewards"] and task.facts["difference"] is None
    assert len(task.facts["schema_sha256"]) == 64
    columns = {column["name"]: column for column in task.facts["columns"]}
    assert (task.facts["rows"], columns["limit"]["nulls"], columns["limit"]["greatest"]) == (3, 1, 10.5)
    assert (columns["name"]["distinct"], columns["name"]["least"]) == ("3", "Acme")
    assert task.facts["samples"][1] == {"id": 2, "name": "Bolt", "limit": None, "active": False}
    assert await office.names("approved") == []  # loaded, and seen by nobody
    await office.house.decide(case, "stella")
    result = await office.house.end(case)
    assert result.status is Status.COMPLETED and result.output is not None and result.output["rows"] == 3
    assert await office.names("approved") == ["Acme", "Bolt", "Corn"]
    assert await office.counted(case) == {"load_rows": 1, "publish_version": 1}


async def test_the_difference_to_what_is_published_is_among_the_facts(office: Office) -> None:
    await office.published("differs")
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "city": {"type": "string"}}}  # type: ignore[dict-item]
    text = NOVEMBER.replace("active\n", "active,city\n").replace("true\n", "true,Ely\n").replace("false\n", "false,\n")
    office.write("differs.csv", text, schema)
    case = await office.house.start(DataImportRequest(dataset="differs"), process="data_import", policy=SHIPPED)
    facts = (await office.house.open_task(case)).facts
    assert facts["difference"] == {
        "version": 1,
        "rows_added": 4,
        "rows_removed": 3,
        "columns_added": ["city"],
        "columns_removed": [],
    }
    await office.house.cancel(case)
    assert (await office.house.end(case)).status is Status.CANCELLED


@pytest.mark.undoes("drop_rows")
async def test_what_stewards_reject_is_removed_and_the_version_before_stays(office: Office) -> None:
    await office.published("rejected")
    case = await office.start("rejected", NOVEMBER)
    await office.house.open_task(case)
    assert await office.versions("rejected") == 2
    await office.house.decide(case, "stella", Verdict.REJECT, comment="Acme is too high")
    result = await office.house.end(case)
    assert result.status is Status.REJECTED and result.undone == ["Remove the staged rows of rejected.csv"]
    assert await office.versions("rejected") == 1 and len(await office.names("rejected")) == 3
    assert await office.counted(case) == {"load_rows": 1, "drop_rows": 1}


@pytest.mark.undoes("restore_version")
@pytest.mark.undoes("drop_rows")
async def test_a_rollback_publishes_the_version_before_and_of_the_first_none(office: Office) -> None:
    first = await office.published("back")
    before = await office.view("back")
    second = await office.published("back", NOVEMBER)
    assert len(await office.names("back")) == 4
    # The older version cannot be undone before the newer one.
    refused = await (await office.house.roll_back(first, policy=SHIPPED)).result()
    assert refused.status is Status.COMPLETED and len(await office.names("back")) == 4
    result = await (await office.house.roll_back(second, policy=SHIPPED)).result()
    assert result.status is Status.ROLLED_BACK
    assert await office.view("back") == before and await office.versions("back") == 1
    result = await (await office.house.roll_back(first, policy=SHIPPED)).result()
    assert result.status is Status.ROLLED_BACK and await office.view("back") is None
    assert await office.versions("back") == 0 and await office.house.audit_problems() == []


async def test_of_two_imports_that_compared_with_the_same_version_only_one_is_published(office: Office) -> None:
    first, second = await office.start("race"), await office.start("race", OCTOBER)
    for case in (first, second):
        await office.house.open_task(case)
    await asyncio.gather(office.house.decide(first, "stella"), office.house.decide(second, "stella"))
    results = [await office.house.end(case) for case in (first, second)]
    assert sorted(result.status for result in results) == [Status.COMPLETED, Status.FAILED]
    assert any("is published now" in result.reason for result in results)
    assert await office.versions("race") == 1


@pytest.mark.parametrize(("exchanged", "said"), [("csv", "'changed.csv'"), ("schema.json", "'changed.schema.json'")])
async def test_a_file_or_schema_that_changed_after_the_check_is_not_loaded(
    office: Office, exchanged: str, said: str
) -> None:
    office.write("changed.csv", OCTOBER)
    imports = DataImports(office.datasets, office.files)
    asked = DataImportRequest(dataset="changed")
    profiler, file = imports._profiled(asked)
    hashes = {"sha256": file.sha256, "schema_sha256": file.schema_sha256}
    seen = profiler.made("changed", asked.file, **hashes, published=None)
    staging = Staging(dataset="changed", file=asked.file, schema_file=asked.schema_file, profile=seen, **hashes)
    with (office.files / f"changed.{exchanged}").open("a") as written:
        written.write("\n\n")
    again = DatasetFile(imports._folder, asked.file, asked.schema_file)
    with pytest.raises(Refused, match=f"{said} has changed since"):
        async for _ in imports._chunks(again, staging):
            pass
    # A case that was checked by a Holdgate of old knows the hash of its data only.
    old = staging.model_copy(update={"schema_sha256": ""})
    if exchanged == "schema.json":
        assert [len(chunk) async for chunk in imports._chunks(again, old)] == [3]


async def test_of_more_columns_than_are_shown_only_those_are_called_new_that_are(office: Office) -> None:
    heads = [f"column_{n:03}" for n in range(100)]

    def wide(*heads: str) -> str:
        return f"{','.join(heads)}\n{','.join(['x'] * len(heads))}\n"

    office.write("wide.csv", wide(*heads), {"type": "object"})
    ask = DataImportRequest(dataset="wide")
    case = await office.house.start(ask, process="data_import", policy=SHIPPED)
    await office.house.decide(case, "stella")
    await office.house.end(case)
    office.write("wide.csv", wide(*heads[:-1], "another"), {"type": "object"})
    case = await office.house.start(ask, process="data_import", policy=SHIPPED)
    facts = (await office.house.open_task(case)).facts
    assert (facts["columns_not_shown"], len(facts["columns"])) == (40, 60)
    assert facts["difference"]["columns_added"] == ["another"]
    assert facts["difference"]["columns_removed"] == ["column_099"]
    await office.house.cancel(case)
    await office.house.end(case)


# ------------------------------------------------------------------------------------------------------------- receiver


async def chunks(*each: list[dict[str, Any]]) -> AsyncIterator[list[dict[str, Any]]]:
    for chunk in each:
        yield chunk


@pytest.mark.undoes("drop_rows")
async def test_a_load_that_comes_after_its_undo_leaves_nothing(office: Office) -> None:
    store = office.datasets
    assert await store.unstage("late/undo", "late", "data_import:late") is False
    assert await store.unstage("late/undo", "late", "data_import:late") is False
    with pytest.raises(Refused, match="undone before it was done"):
        await store.stage("late", "data_import:late", "late", "0" * 64, {}, chunks([{"name": "x"}]))
    assert await office.versions("late") == 0


@pytest.mark.undoes("restore_version")
async def test_each_key_has_one_effect_however_often_it_comes(office: Office) -> None:
    store = office.datasets
    for _ in range(2):
        await store.stage("k", "data_import:k", "keys", "0" * 64, {"columns": []}, chunks([{"name": "x"}]))
    made = [await store.publish("k/p", "data_import:k", "keys", None) for _ in range(2)]
    assert made[0] == made[1] and await office.versions("keys") == 1
    assert [await store.unpublish("k/p/undo", "k/p", "data_import:k") for _ in range(2)] == [True, True]
    assert [await store.unstage("k/undo", "k", "data_import:k") for _ in range(2)] == [True, True]
    with pytest.raises(Refused, match="undone before it was done"):
        await store.publish("k/p", "data_import:k", "keys", None)
    assert await office.versions("keys") == 0 and await office.view("keys") is None


async def test_what_an_attempt_left_that_died_is_removed_by_the_next(office: Office) -> None:
    async def dying() -> AsyncIterator[list[dict[str, Any]]]:
        yield [{"name": "half"}]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await office.datasets.stage("d", "data_import:d", "died", "0" * 64, {"columns": []}, dying())
    assert await office.versions("died") == 1
    await office.datasets.stage("d", "data_import:d", "died", "0" * 64, {"columns": []}, chunks([{"name": "whole"}]))
    assert await office.versions("died") == 1
    await office.datasets.publish("d/p", "data_import:d", "died", None)
    assert await office.names("died") == ["whole"]


async def test_a_late_attempt_neither_finishes_nor_removes_what_its_successor_has_loaded(office: Office) -> None:
    go_on = asyncio.Event()

    async def late() -> AsyncIterator[list[dict[str, Any]]]:
        await go_on.wait()
        for chunk in list[list[dict[str, Any]]]():
            yield chunk

    store = office.datasets
    about: tuple[str, str, str, str, dict[str, Any]] = ("l", "data_import:l", "lately", "0" * 64, {"columns": []})
    first = asyncio.create_task(store.stage(*about, late()))
    await asyncio.sleep(0.2)
    second = await store.stage(*about, chunks([{"name": "whole"}]))
    go_on.set()
    assert await first == second and await office.versions("lately") == 1
    await store.publish("l/p", "data_import:l", "lately", None)
    assert await office.names("lately") == ["whole"]


# ------------------------------------------------------------------------------------------------------------ refusals

BAD_FILES: list[tuple[str, str | bytes, str]] = [
    ("no rows", "id,name\n", "has no rows"),
    ("empty", "", "is empty"),
    ("not utf-8", b"id,name\n1,\xff\xfe\n", "is not UTF-8"),
    ("a nul", "id,name\n1,a\0b\n", "NUL"),
    ("a column missing", "id,limit\n1,2\n", "These columns are missing: name"),
    ("a heading twice", "id,name,name\n1,a,b\n", "needs a heading of its own: name"),
    ("a blank heading", "id,,name\n1,a,b\n", "one is blank"),
    ("too few cells", "id,name\n1\n", "Line 2 has 1 cells"),
    ("too many cells", "id,name\n1,a,b\n", "Line 2 has 3 cells"),
    ("a text for a number", "id,name\nx,a\n", "line 2, id: 'x' is not of type 'integer'"),
    ("below the least", "id,name\n0,a\n", "line 2, id: 0 is less than the minimum of 1"),
    ("a value missing", "id,name\n,a\n", "'id' is a required property"),
    ("an unknown column", "id,name,colour\n1,a,red\n", "'colour' was unexpected"),
    ("not a truth", "id,name,active\n1,a,perhaps\n", "active: 'perhaps' is not of type 'boolean'"),
    ("not a number of JSON", "id,name,limit\n1,a,NaN\n", "limit: 'NaN' is not of type"),
    ("an open quote", 'id,name\n1,"a\n', "unexpected end of data"),
    ("a long line", "id,name\n1," + "x" * 300_000 + "\n", "more than 262,144 characters"),
    ("many columns", ",".join(f"c{n}" for n in range(201)) + "\n1\n", "at most 200 are allowed"),
]


@pytest.mark.parametrize(("name", "content", "said"), BAD_FILES, ids=[name for name, *_ in BAD_FILES])
async def test_a_file_that_does_not_fit_is_refused_by_line_and_column(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    (tmp_path / "x.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    (tmp_path / "x.schema.json").write_text(json.dumps(SCHEMA))
    with pytest.raises(Refused) as refused:
        DataImports(None, tmp_path)._profiled(DataImportRequest(dataset="x"))  # type: ignore[arg-type]
    assert said in refused.value.message and len(refused.value.message) < 3000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Line 1 cannot be read"),
        ("[1]", "Line 1 does not hold a row"),
        ('{"id": NaN, "name": "x"}', "Line 1 cannot be read"),
        ("[" * 200_000, "Line 1 cannot be read"),
        ('{"id": "1", "name": "x"}', "line 1, id: '1' is not of type 'integer'"),
    ],
    ids=range(5),
)
async def test_a_line_of_json_that_does_not_fit_is_refused(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "x.jsonl").write_text(line + "\n")
    (tmp_path / "x.schema.json").write_text(json.dumps(SCHEMA))
    with pytest.raises(Refused) as refused:
        asked = DataImportRequest(dataset="x", file="x.jsonl")
        DataImports(None, tmp_path)._profiled(asked)  # type: ignore[arg-type]
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "The schema cannot be read"),
        ("[]", "must describe one row"),
        ('{"type": "array"}', "must describe one row"),
        ('{"type": "object", "properties": {"id": {"type": "figure"}}}', "The schema is not valid"),
        ('{"type": "object", "$ref": "https://spy.example/s.json"}', "which is not in the schema. Put "),
        ('{"type": "object", "$ref": "file:///etc/passwd"}', "which is not in the schema. Put "),
    ],
)
async def test_a_schema_that_cannot_be_used_is_refused_and_nothing_is_fetched(
    tmp_path: Path, schema: str, said: str
) -> None:
    (tmp_path / "x.csv").write_text(OCTOBER)
    (tmp_path / "x.schema.json").write_text(schema)
    with pytest.raises(Refused, match=said):
        DataImports(None, tmp_path)._profiled(DataImportRequest(dataset="x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "dataset: enter a value"),
        ({"dataset": "Über"}, "does not have the form"),
        ({"dataset": "../x"}, "does not have the form"),
        ({"dataset": "x" * 121}, "is longer than 120 characters"),
        ({"dataset": "x", "file": "../x.csv"}, "goes through '..'"),
        ({"dataset": "x", "file": "/etc/passwd.csv"}, "begins with /"),
        ({"dataset": "x", "file": "a\\b.csv"}, "backslash"),
        ({"dataset": "x", "file": "a/.hidden.csv"}, "is hidden"),
        ({"dataset": "x", "file": "x.xlsx"}, "must end in .csv or .jsonl"),
        ({"dataset": "x", "file": "x.csv\0"}, "cannot be shown"),
        ({"dataset": "x", "schema_file": "../s.json"}, "goes through '..'"),
        ({"dataset": "x", "colour": "red"}, "is not a field of this process"),
    ],
    ids=range(12),
)
def test_an_import_that_cannot_be_asked_for_is_refused_by_the_field(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        DataImportRequest.model_validate(given)
    assert said in "; ".join(map(str, problems_of(wrong.value, given)))


async def test_a_file_that_is_not_there_ends_the_case_and_nothing_is_done(office: Office) -> None:
    case = await office.house.start(DataImportRequest(dataset="absent"), process="data_import", policy=SHIPPED)
    result = await office.house.end(case)
    assert result.status is Status.FAILED and "There is no file 'absent.schema.json'" in result.reason
    assert await office.counted(case) == {}


def test_the_samples_fit_their_schemas() -> None:
    for dataset, file in (("customers", ""), ("exchange-rates", "exchange-rates.jsonl")):
        asked = DataImportRequest(dataset=dataset, file=file)
        profiler, _ = DataImports(None, ROOT / "docs" / "samples" / "files")._profiled(asked)  # type: ignore[arg-type]
        assert profiler.rows >= 3


# ------------------------------------------------------------------------------------------------------------- kill -9

STEADY = SHIPPED + "".join(
    f'[data_import.steps.{step}]\ntime_limit = "5s"\n' for step in ("profile", "load", "drop", "publish", "restore")
)
KILLS = [
    (story, f"{when} {step}")
    for story, steps in (
        ("approved", ("profile_file", "load_rows", "publish_version")),
        ("rejected", ("drop_rows",)),
        ("rolled back", ("restore_version", "drop_rows")),
    )
    for step in steps
    for when in ("before", "after")
]
HERE = [("approved", "after publish_version"), ("rolled back", "after restore_version")]


@pytest.mark.timeout(240)
@pytest.mark.undoes("restore_version")
@pytest.mark.parametrize("every", [ALL])
async def test_an_import_whose_worker_is_killed_at_any_step_has_each_effect_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: bool
) -> None:
    (tmp_path / "files").mkdir()
    monkeypatch.setenv("HOLDGATE_FILES", str(tmp_path / "files"))
    async with mortal(tmp_path) as (house, fate):
        office = Office(house, tmp_path / "files", Datasets(house.database))

        named = KILLS if every else HERE

        def one(number: int, story: str, point: str) -> Awaitable[tuple[Handle, CaseResult]]:
            office.write(f"data-{number}.csv", OCTOBER)
            return life(house, fate, DataImportRequest(dataset=f"data-{number}"), "data_import", STEADY, story, point)

        found = await lived(fate, [one(number, *each) for number, each in enumerate(named)])
        done = {"load_rows": 1, "publish_version": 1}
        expected = {
            "approved": (Status.COMPLETED, done, 3),
            "rejected": (Status.REJECTED, {"load_rows": 1, "drop_rows": 1}, 0),
            "rolled back": (Status.ROLLED_BACK, {**done, "restore_version": 1, "drop_rows": 1}, 0),
        }
        for number, ((story, point), (case, result)) in enumerate(zip(named, found, strict=True)):
            dataset = f"data-{number}"
            seen = (result.status, await office.counted(case), len(await office.names(dataset)))
            assert seen == expected[story], point
            assert await office.versions(dataset) == (story == "approved"), point
        assert await house.audit_problems() == []
